"""The benchmark of generation compares what it times."""

from __future__ import annotations

import pytest

from benchmarks import generation


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
