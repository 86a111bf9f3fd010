"""Networks, query encoders, taggers, losses and checkpoints."""
