"""Recurrent language models in JAX that you can read, prove and train fast."""

__version__ = "0.1.0"
