"""Run directories: created atomically, checkpointed, verified, locked, resumed and loaded."""
