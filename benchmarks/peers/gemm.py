"""Large matrix products, which measure the peak of the machine; run like a trainer, one product per step."""

import jax
import jax.numpy as jnp

from benchmarks.cases import Case
from benchmarks.task import Task


def train(_case: Case, size: int) -> Task:
    """Products of two float32 matrices `[size, size]`; counts products."""
    a, b = jax.random.normal(jax.random.key(0), (2, size, size))
    multiply = jax.jit(jnp.matmul)

    def run(products: int) -> float:
        for _ in range(products):
            c = multiply(a, b)
        return float(c[0, 0])

    return Task(run)
