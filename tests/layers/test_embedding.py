import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxrnn import EmbeddingParams, embedding, init_embedding

IDS = jnp.array([[3, 1, 3], [3, 0, 1]])


@pytest.fixture(params=[4, 5000])
def params(request: pytest.FixtureRequest) -> EmbeddingParams:
    return init_embedding(jax.random.key(0), vocabulary_size=request.param, size=2)


def test_each_id_gets_its_row(params: EmbeddingParams) -> None:
    rows = embedding(params, IDS)
    assert rows.shape == (2, 3, 2)
    for index in np.ndindex(IDS.shape):
        assert jnp.array_equal(rows[index], params.table[IDS[index]])


def test_the_gradients_of_a_repeated_token_add_up(params: EmbeddingParams) -> None:
    weights = jnp.arange(1.0, 7.0).reshape(2, 3)
    gradient = jax.grad(lambda params: (embedding(params, IDS) * weights[..., None]).sum())(params)
    expected = jnp.zeros(len(params.table)).at[jnp.array([0, 1, 3])].set(jnp.array([5.0, 2 + 6, 1 + 3 + 4]))
    assert jnp.array_equal(gradient.table, jnp.stack([expected, expected], axis=1))


def test_the_gradient_of_a_token_repeated_10_000_times() -> None:
    params = init_embedding(jax.random.key(0), vocabulary_size=3, size=1)
    ids = jnp.full((10_000,), 2)
    gradient = jax.grad(lambda params: embedding(params, ids).sum())(params)
    assert gradient.table.tolist() == [[0], [0], [10_000]]


@pytest.mark.parametrize("kind", [jnp.uint8, jnp.uint16, jnp.int32])
def test_ids_may_have_any_integer_type(params: EmbeddingParams, kind: jnp.dtype) -> None:
    value, gradient = jax.value_and_grad(lambda params: embedding(params, IDS.astype(kind)).sum())(params)
    expected = jax.value_and_grad(lambda params: embedding(params, IDS).sum())(params)
    assert value == expected[0]
    assert jnp.array_equal(gradient.table, expected[1].table)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_everything_has_the_type_of_the_table(dtype: jnp.dtype) -> None:
    params = init_embedding(jax.random.key(0), 4, 2, dtype)
    rows, pull = jax.vjp(lambda params: embedding(params, IDS), params)
    assert params.table.dtype == rows.dtype == pull(rows)[0].table.dtype == dtype


def test_it_works_inside_jit_and_vmap_and_grad(params: EmbeddingParams) -> None:
    def loss(params: EmbeddingParams, ids: jax.Array) -> jax.Array:
        return (embedding(params, ids) ** 2).sum()

    together = jax.jit(jax.grad(lambda params: jax.vmap(loss, (None, 0))(params, IDS).sum()))(params)
    one_by_one = jnp.stack([jax.grad(loss)(params, ids).table for ids in IDS]).sum(axis=0)
    np.testing.assert_allclose(together.table, one_by_one, rtol=1e-6)


def test_forward_mode_is_refused(params: EmbeddingParams) -> None:
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(lambda params: embedding(params, IDS), (params,), (params,))


def test_initial_rows_are_normally_distributed() -> None:
    table = init_embedding(jax.random.key(0), 100, 100).table
    assert abs(table.mean()) < 0.06
    assert abs(table.std() - 1) < 0.06


@pytest.mark.parametrize(
    ("platform", "vocabulary_size"), [("cuda", 65), ("tpu", 65), ("cpu", 65), ("cuda", 2**28)]
)
def test_gpus_and_tpus_multiply_by_one_hot_vectors_while_these_can_be_kept(
    platform: str, vocabulary_size: int
) -> None:
    def gradient(table: jax.Array) -> EmbeddingParams:
        return jax.grad(lambda params: embedding(params, IDS).sum())(EmbeddingParams(table))

    table = jax.ShapeDtypeStruct((vocabulary_size, 2), jnp.float32)
    program = jax.jit(gradient).trace(table).lower(lowering_platforms=(platform,)).as_text()
    is_product = platform != "cpu" and vocabulary_size == 65
    assert ("stablehlo.scatter" in program) is not is_product
    # 1 * dy is exact in full precision only.
    assert ("precision = [HIGHEST, HIGHEST]" in program) is is_product
