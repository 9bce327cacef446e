"""The benchmark of the data path prints every line that it measures."""

import pytest

from benchmarks import data


def test_a_line_for_each_measurement_with_its_growth(monkeypatch, capsys):
    costs = {"read": {"seconds": 2.0}, "tokenise": {"seconds": 1.0}, "text": {"seconds": 3.0}}
    costs["chat"] = {"seconds": 1.0}
    costs["draws"] = {"pool": 1.0, "fingerprint": 1.0, "step 1 x 1": 0.5}
    monkeypatch.setattr(data, "apart", lambda what, *_: {**costs[what], "peak_mb": 300.0})
    lines = data.measure((10, 20), (100, 300))
    growth = {(line["what"], line["size"]): line["x"] for line in lines}
    assert growth["read+check jsonl", 20] == growth["tokenise warm", 20] == 0.5
    assert growth["chat cold", 20] == 0.5
    assert growth["step 1 x 1", 20] == 1.0
    assert growth["text", 300] == pytest.approx(1 / 3)
    assert len(capsys.readouterr().out.splitlines()) == 1 + len(lines) == 1 + 2 * 9 + 2


def test_rows_are_the_same_in_both_formats(tmp_path):
    from unlearnkit.data.rows.reader import read_rows

    data.write_rows(tmp_path, 30)
    one, other = (read_rows(str(tmp_path / f"30.{kind}")).rows for kind in ("jsonl", "parquet"))
    assert [row.fields for row in one] == [row.fields for row in other]
    assert len(one) == 30
