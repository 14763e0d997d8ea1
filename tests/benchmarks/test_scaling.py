import sys

import pytest

from benchmarks.__main__ import main as measure
from benchmarks.scaling import NETWORK, NVLINK, Link, all_reduce_seconds, efficiency, main


def test_an_all_reduce_sends_almost_twice_the_gradient_in_small_parts() -> None:
    link = Link("", 1e9, 1e-6)
    assert all_reduce_seconds(link, 1e9, 1) == 0
    assert all_reduce_seconds(link, 1e9, 2) == pytest.approx(1 + 2e-6)
    assert all_reduce_seconds(link, 1e9, 100) == pytest.approx(1.98 + 198e-6)


def test_efficiency_falls_with_communication_and_rises_with_accumulation() -> None:
    link = Link("", 1e9, 0.0)
    assert efficiency(link, 1e9, 2, seconds=1.0) == pytest.approx(0.5)
    assert efficiency(link, 1e9, 2, seconds=1.0, accumulate=9) == pytest.approx(0.9)
    assert efficiency(NVLINK, 17e6, 64, 0.005) > efficiency(NETWORK, 17e6, 64, 0.005)


def test_devices_share_the_work_and_exchange_the_gradient_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert measure(["--quick", "--only", "scaling"]) == 0
    shown = capsys.readouterr().out
    strong, weak, accumulated = (part.splitlines()[2:4] for part in shown.split("scaling, ")[1:])
    one, two = (line.split() for line in strong)
    assert (one[3], one[4]) == ("0", "0")
    assert float(two[2]) == pytest.approx(float(one[2]) / 2, rel=0.2)  # the projected table is not divided
    assert int(two[3]) >= 1
    assert [line.split()[1] for line in weak] == ["4", "8"]
    assert weak[0].split()[2] == weak[1].split()[2]
    assert accumulated[1].split()[3:5] == two[3:5]  # 4 batches with the same communication
    assert float(accumulated[1].split()[2]) == pytest.approx(4 * float(two[2]), rel=0.01)


def test_the_table_of_efficiency(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["scaling", "--efficiency", "--milliseconds", "5", "--megabytes", "17"]
    monkeypatch.setattr(sys, "argv", command)
    assert main() == 0
    assert capsys.readouterr().out.count("yours") == 6
    for wrong in (command[:-2], [*command[:-1], "-17"], [*command[:-1], "nan"]):
        monkeypatch.setattr(sys, "argv", wrong)
        with pytest.raises(SystemExit):
            main()
