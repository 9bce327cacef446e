"""An interrupted bench continues, and repeats incomplete systems."""

from __future__ import annotations

import pytest

from benchmarks.systems import running
from benchmarks.systems.running import Bench, Cost
from benchmarks.systems.systems import System

SYSTEM = System("A system", "copyright", (("fit", "--recipe", "copyright"),), "out")


@pytest.fixture
def bench(tmp_path, monkeypatch):
    bench = Bench(tmp_path / "results.jsonl")
    bench.ran = []

    def measured(command, work):
        bench.ran.append(command[0])
        if command[0] == "evaluate":
            bench._evaluated.mkdir(exist_ok=True)
            (bench._evaluated / "tofu.json").write_text('{"values": {"forget/rougeL_recall": 0.5}}')
        return Cost(1.0, 1.0, 1.0)

    monkeypatch.setattr(running, "measured", measured)
    return bench


def test_what_is_there_is_not_made_again_and_what_is_cut_off_is(bench):
    assert bench.run("one", SYSTEM, 0)
    assert not bench.run("one", SYSTEM, 0)
    assert bench.ran == ["fit", "evaluate"]
    path = bench.results.path
    whole = path.read_text()
    for text in (whole[: len(whole) // 2], "", "[]\n", "{}\n"):
        path.write_text(text)
        assert bench.run("one", SYSTEM, 0)
        assert path.read_text() == whole
    assert bench.run("two", SYSTEM, 0)
    assert [each["system"] for each in bench.results.all()] == ["one", "two"]


def test_other_commands_are_another_result(bench):
    bench.run("one", SYSTEM, 0)
    other = System("A system", "copyright", (("fit", "--recipe", "sku"),), "out")
    assert bench.run("one", other, 0)


def test_a_command_that_fails_leaves_no_result(bench, monkeypatch):
    def fail(command, work):
        raise RuntimeError("killed")

    monkeypatch.setattr(running, "measured", fail)
    with pytest.raises(RuntimeError):
        bench.run("one", SYSTEM, 0)
    assert bench.results.all() == []
