"""The ways that benchmarks.ablation compares compute the same gradients."""

import jax
import numpy as np
import pytest

from benchmarks.ablation import WAYS, gradients


@pytest.mark.parametrize("name", ["inside", "autodiff"])
def test_every_way_computes_the_same_gradients(name: str) -> None:
    found, expected = (gradients(WAYS[each], hidden=5, batch=3, length=4)() for each in (name, "ours"))
    for pair in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(*pair, rtol=1e-4, atol=1e-7)
