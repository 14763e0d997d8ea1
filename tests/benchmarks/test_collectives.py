from benchmarks.collectives import Collective, find_collectives, outermost_loops

HLO = """HloModule jit_run_steps, is_scheduled=true

%add (x: f32[], y: f32[]) -> f32[] {
  ROOT %sum = f32[] add(%x, %y)
}

%body.2 (loop: (s32[], f32[3,4])) -> (s32[], f32[3,4]) {
  %all-reduce.1 = (f32[3,4]{1,0}, bf16[8]{0}, /*index=2*/pred[]) all-reduce(%a, %b, %c), to_apply=%add
  %all-gather-start.3 = (s32[2]{0}) all-gather-start(%d), dimensions={0}
  %copy = f32[3,4]{1,0} copy(%all-reduce.1)
  %inner = (s32[], f32[3,4]{1,0}) while(%tuple), condition=%c.3, body=%body.3
}

ENTRY %main.9 (p: f32[3,4]) -> f32[3,4] {
  %while.1 = (s32[], f32[3,4]{1,0}) while(%tuple.2), condition=%cond.2, body=%body.2
}
"""


def test_collectives_are_found_with_their_bytes_and_computation() -> None:
    assert find_collectives(HLO) == [
        Collective("all-reduce", 3 * 4 * 4 + 8 * 2 + 1, "body.2"),
        Collective("all-gather", 2 * 4, "body.2"),
    ]
    assert outermost_loops(HLO) == ["body.2"]
