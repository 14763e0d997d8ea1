"""A corpus from files or a built-in name, its vocabulary, its tokens, and the batches of each step."""
