"""A training whose evaluation fails is a finished run, and is evaluated later."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from unlearnkit.cli import console

SUITE = """\
from pathlib import Path

from unlearnkit.metrics import RowMean
from unlearnkit.suites import Probe, Suite, SuiteResult


class Length(RowMean):
    \"\"\"Characters of a text.\"\"\"

    needs = ("generated",)
    direction = "down"

    def per_row(self, generated):
        return [float(len(text)) for text in generated]


class Once(Suite):
    \"\"\"Fails at its second model while a file is there.\"\"\"

    probes = {"forget": Probe("forget")}
    metrics = {"length": Length()}

    def run(self, model, tokenizer, context):
        calls = Path("calls")
        if calls.exists() and Path("armed").exists():
            raise ZeroDivisionError("the second time")
        calls.touch()
        rows = [{"stream": "forget", "row": 0, "prompt": "a", "generated": "abc"}]
        self.fill(rows)
        return SuiteResult(self.aggregate(rows), rows)
"""


@pytest.fixture
def own(folder, recipe, monkeypatch) -> str:
    (folder / "own_once.py").write_text(SUITE)
    (folder / "armed").touch()
    monkeypatch.delitem(sys.modules, "own_once", raising=False)
    text = (folder / "good.yaml").read_text()
    return recipe(text + "evaluate: [{name: own_once.Once}]\n")


def _run(folder: Path) -> Path:
    (found,) = (folder / "runs").glob("recipe/*")
    return found


def test_a_suite_that_fails_after_the_training_costs_no_training(command, folder, own) -> None:
    done = command("fit", "-r", own)
    assert done.code == 2
    said = " ".join(done.err.replace("│", " ").split())
    assert "ZeroDivisionError: the second time" in said
    run = _run(folder)
    assert f"`unlearnkit evaluate {run.relative_to(folder)}` measures what is missing" in said
    suites = json.loads((run / "summary.json").read_text())["suites"]
    assert suites == {"Once": {"before": {"forget/length": 3.0}}}
    assert (run / "model").is_dir()
    (folder / "armed").unlink()
    done = command("evaluate", str(run))
    assert done.code == 0, done.err
    kept = json.loads((run / "evaluation" / "Once.json").read_text())
    assert kept["values"] == {"forget/length": 3.0}
    assert command("report", str(run)).code == 0
    done = command("compare", str(run), "--format", "json")
    assert done.code == 0, done.err
    assert "forget/length" in done.out


def test_what_only_shows_a_run_cannot_end_it_with_an_error(command, folder, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no terminal")

    monkeypatch.setattr(console, "show_summary", broken)
    # The package has a function of the module's name.
    monkeypatch.setattr(sys.modules["unlearnkit.runs.fit"], "write_card", broken)
    monkeypatch.setattr("unlearnkit.cli.banner._lines", broken)
    done = command("fit", "-r", "good.yaml")
    assert done.code == 0, done.err
    said = " ".join(done.err.split())
    for what in ("the overview of the run", "the model's card", "the table of results"):
        assert f"{what} could not be made (ValueError: no terminal)" in said
    (run,) = (folder / "runs").glob("good/*")
    assert (run / "summary.json").is_file()


def test_two_suites_of_one_name_are_refused(command, folder, recipe, own) -> None:
    text = (folder / "good.yaml").read_text()
    recipe(text + "evaluate: [{name: own_once.Once}, {name: own_once.Once}]\n", "twice.yaml")
    done = command("fit", "-r", "twice.yaml")
    assert done.code == 2
    assert "several suites of the name Once" in done.err
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("key", ["max_steps", "max_epochs", "limit_train_batches"])
def test_a_run_of_no_step_is_refused(command, folder, key) -> None:
    done = command("fit", "-r", "good.yaml", f"--trainer.{key}", "0")
    assert done.code == 2
    assert f"trainer.{key}: 0 trains nothing" in done.err
    assert not (folder / "runs").exists()
