"""The benchmark of shared evaluations compares the rows of what it times."""

from __future__ import annotations

import sys

import pytest

from benchmarks import dealt


def test_the_slowest_process_counts_and_other_rows_are_refused() -> None:
    one = {"wall": 4.0, "cpu": 2.0, "rows": "[]"}
    several = [{"wall": 2.0, "cpu": 1.5, "rows": "[]"}, {"wall": 3.0, "cpu": 1.0, "rows": "[]"}]
    assert dealt.ratios(one, several) == {"wall": 0.75, "cpu": 0.75}
    with pytest.raises(SystemExit, match="other rows"):
        dealt.ratios(one, [*several, {**several[0], "rows": "[1]"}])


@pytest.mark.slow
def test_two_processes_share_a_small_evaluation(monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["dealt", "--width", "32", "--blocks", "1"])
    dealt.main()
    said = capsys.readouterr().out
    assert said.startswith("2 processes over one: ")
    assert "bytes of rows are equal" in said
