"""The device mesh that shares a batch, and several processes that train together."""
