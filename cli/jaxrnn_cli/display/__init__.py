"""All that the command line prints."""
