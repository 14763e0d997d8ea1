"""Random commands, right and wrong, in random trouble: python -m benchmarks.soak --help."""
