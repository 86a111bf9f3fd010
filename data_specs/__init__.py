"""What the data is: records, configuration, labels, corpus readers, the shard format and the built-in soundscapes."""
