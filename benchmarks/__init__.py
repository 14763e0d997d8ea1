"""Measurements and trials that anyone can run; each file says how."""
