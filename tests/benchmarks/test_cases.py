"""The counted operations of a step against the products in the jaxpr of a real step and its gradient."""

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from benchmarks.cases import GATES, Case, step_flop, train_cases

CASE = Case(embedding=5, hidden=3, layers=2, batch=4, time=6, vocabulary=7)


def loss(params, carry, tokens, case: Case):
    """A recurrent model with the products of this case; its vocabulary is small, so its table is projected."""
    xs = None
    for layer in range(case.layers):
        w_x, w_h, h = params["w_x"][layer], params["w_h"][layer], carry[layer]
        zs = (params["table"] @ w_x)[tokens] if layer == 0 else xs @ w_x
        hs = []
        for z in zs:
            h = jnp.tanh(sum(jnp.split(z + h @ w_h, GATES[case.cell], axis=-1)))
            hs.append(h)
        xs = jnp.stack(hs)
    return jnp.sum((xs @ params["w"]) ** 2)


def counted_flop(case: Case) -> int:
    width = GATES[case.cell] * case.hidden
    sizes = [case.embedding] + [case.hidden] * (case.layers - 1)
    params = {
        "table": jnp.ones((case.vocabulary, case.embedding)),
        "w_x": [jnp.ones((size, width)) for size in sizes],
        "w_h": [jnp.ones((case.hidden, width)) for _ in sizes],
        "w": jnp.ones((case.hidden, case.vocabulary)),
    }
    carry = [jnp.ones((case.batch, case.hidden)) for _ in sizes]
    tokens = jnp.zeros((case.time, case.batch), jnp.int32)
    gradient = jax.grad(lambda params, carry: loss(params, carry, tokens, case), argnums=(0, 1))
    flop = 0
    for equation in jax.make_jaxpr(gradient)(params, carry).jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            (summed, _), _ = equation.params["dimension_numbers"]
            length = math.prod(equation.invars[0].aval.shape[axis] for axis in summed)
            flop += 2 * length * equation.outvars[0].aval.size
    return flop


@pytest.mark.parametrize(
    "case", [CASE, replace(CASE, layers=1), replace(CASE, layers=3, cell="gru"), replace(CASE, cell="rnn")]
)
def test_the_operations_of_a_step_equal_those_of_its_products(case: Case) -> None:
    assert step_flop(case) == counted_flop(case)


def test_a_vocabulary_larger_than_the_batch_is_not_projected() -> None:
    assert step_flop(replace(CASE, vocabulary=25)) - step_flop(replace(CASE, vocabulary=24)) == 6 * 3 * 24


def test_the_names_of_the_cases_are_unique() -> None:
    for platform in ("cpu", "gpu"):
        names = [case.name for case in train_cases(platform, quick=False)]
        assert len(set(names)) == len(names)
    assert "lstm-768x1-b16-t1024" in names
    assert "lstm-768x1-b16-t1024" not in [case.name for case in train_cases("cpu", quick=False)]
