"""The benchmark of many ranks draws, packs and prints on one."""

import json
import sys

from benchmarks import scale


def test_a_small_plan_is_measured_and_written(tmp_path, monkeypatch, capsys):
    file = tmp_path / "found.json"
    words = ["scale", "--rows", "300", "--ranks", "4", "--accumulate", "2", "--json", str(file)]
    monkeypatch.setattr(sys, "argv", words)
    scale.main()
    assert "300 rows, 4 ranks x 2: " in capsys.readouterr().out
    found = json.loads(file.read_text())
    assert found["ranks"] == 4
    assert found["micro_batch_ms"] > 0


def test_rows_have_responses_of_their_own():
    rows = scale.made_rows("forget", 500, 0)
    assert len(rows) == 500
    assert len({rows.response(number) for number in range(500)}) == 500
