"""Two processes that go on with one run at the same time: nothing is lost."""

from __future__ import annotations

import json
import multiprocessing
import sys
from pathlib import Path

import pytest
from processes import PATIENCE
from safetensors.torch import load_file
from stub import save_stub

from tests.cli.runs.test_phases import COMMON, STOP
from unlearnkit import load_run
from unlearnkit.cli.main import main

FORK = multiprocessing.get_context("fork")
PLAIN = COMMON.partition("evaluate:")[0].replace("max_steps: 2, ", "max_steps: 4, ")
ONCE = "callbacks: [{class_path: stop_once.Once}]"
SINGLE = PLAIN.replace("accelerator", f"{ONCE}, accelerator") + "evaluate: []\n"
PHASED = f"""\
{PLAIN}
evaluate: []
phases:
  - name: first
    trainer: {{max_steps: 1}}
  - trainer: {{{ONCE}}}
"""


@pytest.fixture
def stopped(folder, recipe, command):
    """A run that was stopped, and the weights of the whole one."""

    def make(text: str) -> dict:
        save_stub({"random_init": 1, "dropout": 0.1}, folder / "stub")
        (folder / "stop_once.py").write_text(STOP)
        recipe(text)
        assert command("fit", "-r", "recipe.yaml", "--run_dir", "whole").code == 0
        (folder / "armed").touch()
        assert command("fit", "-r", "recipe.yaml").code == 143
        return _weights(next((folder / "whole" / "recipe").iterdir()))

    return make


def _weights(run: Path) -> dict:
    return load_file(load_run(run).model / "model.safetensors")


def _same(one: dict, other: dict) -> bool:
    return one.keys() == other.keys() and all(one[key].equal(other[key]) for key in one)


def _resume(meet, said: Path) -> None:
    sys.stderr = said.open("w")
    meet.wait()
    raise SystemExit(main(["fit", "-r", "recipe.yaml", "--ckpt_path", "last"]))


def _both(folder: Path) -> tuple[list[int], str]:
    """Exit codes of two resumptions that begin at once, and what they say of errors."""
    meet = FORK.Barrier(2, timeout=PATIENCE)
    both = [FORK.Process(target=_resume, args=(meet, folder / f"said{n}")) for n in range(2)]
    for each in both:
        each.start()
    for each in both:
        each.join(timeout=PATIENCE)
    said = "".join((folder / f"said{n}").read_text() for n in range(2))
    return sorted(each.exitcode for each in both), " ".join(said.replace("│", " ").split())


def test_each_of_two_resumptions_has_a_folder_of_its_own(folder, stopped) -> None:
    whole = stopped(SINGLE)
    codes, said = _both(folder)
    assert codes == [0, 0], said
    done = [each.parent for each in (folder / "runs" / "recipe").glob("*/summary.json")]
    assert len(done) == 2
    assert all(_same(_weights(each), whole) for each in done)
    for each in done:
        environment = json.loads((each / "environment.json").read_text())
        assert [entry["step"] for entry in environment["resumed"]] == [3]


def test_a_run_in_phases_is_gone_on_with_by_one_of_two(folder, stopped) -> None:
    whole = stopped(PHASED)
    codes, said = _both(folder)
    assert codes == [0, 2], said
    assert "another process is writing to" in said or "is finished; nothing is left" in said
    (run,) = (folder / "runs" / "recipe").iterdir()
    assert _same(_weights(run), whole)
