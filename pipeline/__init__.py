"""The stages of a round in the order data meets them, and what they stand on."""
