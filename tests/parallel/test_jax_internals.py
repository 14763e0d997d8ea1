"""The private parts of JAX that the library uses behave as expected."""

import ast
from pathlib import Path

import jax
import jax.numpy as jnp

import jaxrnn
from jaxrnn.parallel.jax_internals import coordination_client, is_traced, process_count, process_index


def test_a_single_process_has_rank_0_and_no_coordinator() -> None:
    assert (process_index(), process_count()) == (0, 1) == (jax.process_index(), jax.process_count())
    assert coordination_client() is None


def test_a_value_is_traced_only_inside_a_transformation() -> None:
    seen = []
    jax.jit(lambda x: seen.append(is_traced(x)) or x)(jnp.ones(2))  # type: ignore[func-returns-value]
    assert seen == [True]
    assert not is_traced(jnp.ones(2))


def test_no_other_file_uses_private_parts_of_jax() -> None:
    for path in Path(jaxrnn.__file__).parent.rglob("*.py"):
        names = {
            ast.unparse(node)
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Attribute)
        }
        modules = {
            node.module for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ImportFrom)
        }
        if path.name != "jax_internals.py":
            assert not any((module or "").startswith("jax._src") for module in modules), path
            assert not any(name.startswith(("jax.core", "jax._src")) for name in names), path
