"""The command line of jaxrnn."""
