"""Goals of a recipe, attacks at the end of a run, and ``unlearnkit check``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

BASE = """\
model:
  base: tiny
  objectives: {forget: {name: gradient_ascent}}
data:
  batch_size: 2
  max_length: 48
  streams:
    forget: {name: text, path: tiny/book.jsonl, prompt_tokens: 16, limit: 6}
    retain: {name: qa, path: tiny/normal.jsonl, limit: 4}
trainer: {max_steps: 1, accelerator: cpu, enable_progress_bar: false, logger: false}
evaluate: [{name: copyright, limit: 2, max_new_tokens: 4, heldout: retain}]
"""
ATTACK = "attack: [{name: relearn, rows: 2, steps: 1, limit: 2}]\n"


def newest() -> Path:
    return max(Path("runs").rglob("report.html"), key=lambda path: path.stat().st_mtime_ns).parent


def test_a_run_ends_with_its_attacks_and_goals(command, recipe):
    goals = "goals: {forget/nll: {at_least: 0}, relearn/others/rougeL_recall: {at_most: 1}}\n"
    done = command("fit", "--recipe", recipe(BASE + ATTACK + goals))
    assert done.code == 0, done.err
    assert "goal met:    relearn/others/rougeL_recall" in done.out
    assert "Relearning not tested." not in done.out
    run = newest()
    summary = json.loads((run / "summary.json").read_text())
    assert [goal["met"] for goal in summary["goals"]] == [True, True]
    assert f"verdict: {summary['verdict']['name']}: " in done.out
    assert (run / "attacks" / "relearn.json").is_file()
    assert command("check", str(run)).code == 0
    # Goals of a file stand in place of the recipe's.
    Path("strict.yaml").write_text("goals: {copyright/normal/rougeL_recall: {at_least: 2}}")
    done = command("check", str(run), "--goals", "strict.yaml")
    assert done.code == 3
    assert "goal missed: copyright/normal/rougeL_recall" in done.out
    assert "forget/nll" not in done.out
    # What nothing measures is refused; what this run did not measure is missed, and why is said.
    Path("wrong.yaml").write_text(
        "goals: {forget/rougeL_recal: {at_most: 1}, copyrigth/forget/nll: {at_most: 1}}"
    )
    done = command("check", str(run), "--goals", "wrong.yaml")
    said = " ".join(done.err.replace("│", " ").split())
    assert (done.code, done.out) == (2, "")
    assert "measures 'forget/rougeL_recal'. Did you mean 'forget/rougeL_recall'?" in said
    assert "Did you mean 'copyright/forget/nll'?" in said
    assert "Measured here: relearn/others/rougeL_recall" in said
    Path("more.yaml").write_text("goals: {unseen/nll: {at_most: 1}}")
    done = command("check", str(run), "--goals", "more.yaml")
    assert done.code == 3
    assert "not measured: copyright had no rows 'unseen'" in " ".join(done.out.split())


def test_a_missed_goal_ends_the_fit_with_3_and_the_run_is_whole(command, recipe):
    done = command("fit", "--recipe", recipe(BASE + "goals: {forget/nll: {at_most: -1}}\n"))
    assert done.code == 3
    assert "goal missed: forget/nll" in done.out
    assert (newest() / "model").is_dir()
    assert "missed</strong>: forget/nll" in (newest() / "report.html").read_text()
    # Without goals the verdict decides; nothing was forgotten by one step.
    (newest() / "recipe.yaml").write_text(BASE)
    done = command("check", str(newest()))
    assert done.code == 3
    assert "verdict: not enough" in done.out


def test_the_phases_of_a_run_are_neither_attacked_nor_held_to_goals(command, recipe):
    phases = "phases:\n- {name: first, trainer: {max_steps: 1}}\n- {name: second}\n"
    goals = "goals: {forget/nll: {at_most: -1}}\n"
    done = command("fit", "--recipe", recipe(BASE + ATTACK + goals + phases))
    assert done.code == 3, done.err
    whole = max(Path("runs").rglob("summary.json"), key=lambda path: path.stat().st_mtime_ns)
    assert [each.parent.parent for each in Path("runs").rglob("relearn.json")] == [whole.parent]
    inside = json.loads((whole.parent / "first" / "summary.json").read_text())
    assert "goals" not in inside
    assert json.loads(whole.read_text())["goals"][0]["met"] is False


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "goals: {forget/nll: {at_mots: 1}}",
            "recipe.yaml:12: goals.forget/nll.at_mots: a goal has no key 'at_mots'. Did you mean",
        ),
        ("goals: {forget/nll: {at_most: 2 ** 9}}", "'2 ** 9' is none of numbers, +, -"),
        ("goals: {forget/nll: {at_most: after}}", "names: before, gold"),
        ("goals: [forget/nll]", "goals: expected a mapping of metrics to bounds"),
        ("goals: {forget/nlk: {at_most: 1}}", "goals.forget/nlk: no suite measures 'forget/nlk'."),
        ("goals: {forget/nll: {at_most: gold}}", "'gold' needs a gold model, and the recipe has"),
        (
            "goals: {relearn/others/rougeL_recall: {at_most: 1}}",
            "the recipe has no attack 'relearn'",
        ),
        ("attack: [relern]", "no attack is named 'relern'. Did you mean 'relearn'?"),
        ("attack: [{name: relearn, step: 5}]", "attack[0].step"),
        ("attack: [{name: relearn, rows: 17}]", "--rows: expected 1 to 16"),
        ("attack: relearn\nevaluate: []\ngoals: {forget/nll: {at_most: 1}}", "since no suite runs"),
    ],
)  # fmt: skip
def test_mistakes_are_refused_before_a_model_is_loaded(command, recipe, text, said):
    base = BASE
    if "evaluate" in text:
        base = "".join(line for line in BASE.splitlines(True) if not line.startswith("evaluate"))
    done = command("validate", "--recipe", recipe(base + text + "\n"))
    assert done.code == 2, done.out
    assert said in " ".join(done.err.replace("│", " ").split())


def test_a_file_of_goals_that_is_none_is_refused(command, folder, recipe):
    done = command("check", "nowhere")
    assert (done.code, "is not a finished run" in done.err) == (2, True)
