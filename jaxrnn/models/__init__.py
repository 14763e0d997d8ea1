"""A stack of layers built from a config: its parameters, a whole sequence, a single step."""
