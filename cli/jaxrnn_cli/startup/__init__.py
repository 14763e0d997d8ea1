"""Process setup of a command: JAX settings, several processes, signals, exit codes."""
