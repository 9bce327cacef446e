"""The benchmark of generation compares what it times."""

from __future__ import annotations

import contextlib
import io
import sys

import pytest

from benchmarks import copyright, generation, overhead, step


def test_both_ways_are_asked_the_same_and_compared(monkeypatch):
    found = generation.measure("tiny", 5, 4, batch_size=3, repeats=1)
    assert (found["prompts"], found["equal"], found["batch_size"]) == (5, 5, 3)
    assert 0 < found["tokens"] <= 20
    seconds = found["seconds"]
    for kind in ("wall", "cpu"):
        ratio = seconds["one by one"][kind] / seconds["batched"][kind]
        assert found["ratio"][kind] == pytest.approx(ratio)
    real = generation.generate

    def cut(*arguments, batch_size, **options):
        texts = real(*arguments, batch_size=batch_size, **options)
        return [each._replace(text="") for each in texts] if batch_size == 1 else texts

    monkeypatch.setattr(generation, "generate", cut)
    assert generation.measure("tiny", 5, 4, batch_size=3, repeats=1)["equal"] < 5


def test_a_difference_fails_the_command(monkeypatch):
    def measured(base, count, *rest):
        times = {"wall": 1.0, "cpu": 1.0}
        seconds = {"one by one": times, "batched": times}
        return {
            **{"base": base, "prompts": count, "equal": count - 1, "tokens": 1},
            **{"seconds": seconds, "ratio": times},
        }

    monkeypatch.setattr(generation, "measure", measured)
    monkeypatch.setattr("sys.argv", ["generation", "--base", "tiny"])
    with pytest.raises(SystemExit, match="texts differ"):
        generation.main()


def test_a_file_of_figures_is_new_and_that_is_said_before_they_are_measured(tmp_path, monkeypatch):
    (tmp_path / "mine.json").write_text("kept")
    for module in (copyright, generation, overhead, step):
        for name, message in (("mine.json", "not overwritten"), ("no/a.json", "no folder")):
            words = [module.__name__, "--json", str(tmp_path / name)]
            monkeypatch.setattr(sys, "argv", words)
            said = io.StringIO()
            with pytest.raises(SystemExit, match="2"), contextlib.redirect_stderr(said):
                module.main()
            assert message in said.getvalue()
    assert (tmp_path / "mine.json").read_text() == "kept"
