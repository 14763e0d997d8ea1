"""Layers whose program depends on the platform are verified here in the form that a GPU gets."""

from collections.abc import Iterator
from typing import Any

import jax
import pytest

from jaxrnn.gradcheck.check import check_gradients


@pytest.fixture(autouse=True)
def form_for_gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def choose(*arguments: Any, default: Any = None, **forms: Any) -> Any:
        return forms.get("cuda", default)(*arguments)

    jax.clear_caches()
    monkeypatch.setattr("jax.lax.platform_dependent", choose)
    yield
    jax.clear_caches()


@pytest.mark.parametrize("layer", ["embedding", "rnn", "gru", "lstm", "mogrifier_lstm", "slstm", "min_gru"])
def test_every_hand_derived_gradient_agrees_with_three_oracles(layer: str) -> None:
    checks = list(check_gradients(layer))
    assert checks
    assert [check for check in checks if not check.passed] == []
