"""What happens around a command: JAX settings, several processes, signals, exit codes."""
