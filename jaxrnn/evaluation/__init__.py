"""Losses of a trained model under named protocols, and memorization."""
