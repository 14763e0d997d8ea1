"""The optimizer, the training state, the update step and the training loop as a stream of events."""
