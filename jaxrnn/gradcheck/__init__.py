"""Numerical verification of every hand-derived gradient: against autodiff, NumPy and central differences."""

from jaxrnn.gradcheck.check import Check as Check
from jaxrnn.gradcheck.check import check_gradients as check_gradients
