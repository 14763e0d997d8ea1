"""`jaxrnn gradcheck`: table and exit code."""

from collections.abc import Iterator

import pytest

from jaxrnn.gradcheck.check import Check


def test_one_layer_is_verified_row_by_row(jaxrnn) -> None:
    code, out, err = jaxrnn("gradcheck", "--layer", "dense")
    assert (code, err) == (0, "")
    head, *rows, end = out.splitlines()
    assert head.split() == ["layer", "gradient", "of", "autodiff", "NumPy", "differences", "verdict"]
    assert {row.split()[1] for row in rows} >= {"params.w", "params.b", "xs"}
    for row in rows:
        layer, _, autodiff, reference, differences, verdict = row.split()
        assert (layer, verdict) == ("dense", "verified")
        assert float(autodiff) < 1e-9 and float(reference) < 1e-9 and float(differences) < 1e-6
    assert end == f"all {len(rows)} gradients verified"


def test_a_wrong_gradient_is_named_with_exit_code_1(jaxrnn, monkeypatch: pytest.MonkeyPatch) -> None:
    def checks(_layer: str | None) -> Iterator[Check]:
        yield Check("lstm", "params.w_x", 1e-15, 1e-15, 1e-10)
        yield Check("lstm", "params.b", 0.5, 1e-15, float("nan"))

    monkeypatch.setattr("jaxrnn.gradcheck.check_gradients", checks)
    code, out, err = jaxrnn("gradcheck")
    assert code == 1
    _, good, bad = out.splitlines()
    assert good.endswith("verified") and bad.endswith("WRONG")
    assert err == "jaxrnn: error: 1 of 2 gradients are wrong: lstm params.b\n"


def test_an_unknown_layer_is_refused_with_the_nearest_name(jaxrnn) -> None:
    assert "did you mean lstm?" in jaxrnn("gradcheck", "--layer", "lstn").error
