"""Text generation with a carried state."""
