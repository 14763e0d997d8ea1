"""Numerical verification of every hand-derived gradient: against autodiff, NumPy and central differences."""
