"""Loops and operations in the text of a compiled program."""

import jax
import jax.numpy as jnp

from benchmarks.hlo import count, loops

# The form of a GPU's program: the loop's body is a CUDA graph, a call, and says how often it runs.
GPU = """HloModule jit_f, is_scheduled=true

%graph (p: f32[2]) -> (f32[2]) {
  %p = f32[2]{0} parameter(0)
  %gemm = f32[2]{0} fusion(%p), kind=kCustom, calls=%inner
  %copy.1 = f32[2]{0} copy(%gemm)
  ROOT %out = (f32[2]{0}) tuple(%copy.1)
}

%body (loop: (s32[], f32[2])) -> (s32[], f32[2]) {
  %loop = (s32[], f32[2]{0}) parameter(0)
  %x = f32[2]{0} get-tuple-element(%loop), index=1
  %call = (f32[2]{0}) call(%x), to_apply=%graph
  %next = s32[] fusion(%i), kind=kLoop, calls=%add
  ROOT %t = (s32[], f32[2]{0}) tuple(%next, %y)
}

ENTRY %main (a: f32[2]) -> f32[2] {
  %a = f32[2]{0} parameter(0)
  %w = (s32[], f32[2]{0}) while(%a), condition=%c, body=%body, backend_config={"known_trip_count":{"n":"16"}}
  %s = f32[2]{0} scatter(%a, %a), to_apply=%add
}
"""

# The form of a TPU's program: the counter is compared with a constant, and advanced outside of fusions.
TPU = """HloModule jit_f

%condition (loop: (s32[], f32[2])) -> pred[] {
  %end = s32[]{:T(128)} constant(32)
  ROOT %less = pred[]{:T(512)} compare(%i, %end), direction=LT
}

%body (loop: (s32[], f32[2])) -> (s32[], f32[2]) {
  %i = s32[]{:T(128)} add(%i0, %one)
  %y = f32[2]{0:T(128)} fusion(%x), kind=kOutput, calls=%inner
  ROOT %t = (s32[]{:T(128)}, f32[2]{0:T(128)}) tuple(%i, %y)
}

ENTRY %main (a: f32[2]) -> f32[2] {
  %w = (s32[]{:T(128)}, f32[2]{0:T(128)S(1)}) while(%a), condition=%condition, body=%body
}
"""


def test_operations_of_a_round_include_those_of_a_cuda_graph() -> None:
    (loop,) = loops(GPU)
    assert loop.rounds == 16
    assert loop.operations == ["fusion", "copy", "fusion"]


def test_single_numbers_cost_a_tpu_nothing() -> None:
    (loop,) = loops(TPU)
    assert loop.rounds == 32
    assert loop.operations == ["fusion"]


def test_operations_are_counted_by_their_kind() -> None:
    assert [count(GPU, kind) for kind in ("scatter", "copy", "gather")] == [1, 1, 0]


def test_the_loops_of_a_real_program_are_found() -> None:
    def run(x: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, 7, lambda _, y: jnp.sin(y @ y), x)

    program = jax.jit(run).lower(jnp.ones((40, 40))).compile().as_text()
    assert program is not None
    (loop,) = loops(program)
    assert loop.rounds == 7
    assert loop.operations
