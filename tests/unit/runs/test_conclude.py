from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from unit.report.run_folder import SUITES, write_run
from unlearnkit.attacks import Result
from unlearnkit.errors import UserError
from unlearnkit.files import write_json, write_rows
from unlearnkit.runs import conclude
from unlearnkit.runs.conclude import attacks_of, conclude_again, conclusion_of, evaluations_of
from unlearnkit.runs.evaluate import Evaluation
from unlearnkit.runs.folder import load_run
from unlearnkit.suites.parts.digest import file_digest


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(conclude, "fingerprint_of", lambda model: "now")
    return write_run(tmp_path / "run")


def attacked(folder, model="now", *values):
    curve = [{"step": i, "others/rougeL_recall": value} for i, value in enumerate(values)]
    found = Result(
        "relearn", {}, {"unlearned": model}, "", {}, "2026-01-02", 1.0, {"unlearned": curve}
    )
    (folder / "attacks").mkdir(exist_ok=True)
    write_json(folder / "attacks" / f"{model}.json", asdict(found))


def evaluated(folder, model="now", **values):
    out = folder / "evaluation"
    out.mkdir(exist_ok=True)
    write_rows(out / "later.rows.jsonl", [])
    found = Evaluation(
        "harmful", {}, "", {"model": model}, "2026-01-02", 1.0, values, {}, {},
        file_digest(out / "later.rows.jsonl"),
    )  # fmt: skip
    write_json(out / "later.json", asdict(found))


def test_an_attack_that_is_added_changes_verdict_and_summary(folder):
    assert conclusion_of(load_run(folder)).verdict.name == "near gold"
    attacked(folder, "now", 0.1, 0.5)
    found = conclude_again(load_run(folder))
    assert found.verdict.name == "relearns"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["verdict"]["name"] == "relearns"
    assert summary["verdict"]["metrics"] == [
        {"metric": "relearn/others/rougeL_recall", "start": 0.1, "after": 0.5}
    ]
    assert summary["suites"] == SUITES


def test_attacks_and_evaluations_of_another_model_do_not_count(folder):
    attacked(folder, "then", 0.1, 0.5)
    evaluated(folder, "then", **{"trained/harmful_rate": 1.0})
    assert conclusion_of(load_run(folder)).verdict.name == "near gold"
    left_out: list[str] = []
    assert attacks_of(load_run(folder), left_out) == []
    assert evaluations_of(load_run(folder), left_out) == []
    assert left_out == [
        "attacks/then.json: it does not belong to this model.",
        "evaluation/later.json: it does not belong to this model.",
    ]


def test_goals_see_what_was_evaluated_later(folder):
    goals = {
        "harmful/trained/harmful_rate": {"at_most": 0.1},
        "relearn/others/rougeL_recall": {"at_most": "gold + 0.1"},
        "copyright/forget/rougeL_recall": {"at_most": "gold + 0.05"},
    }
    found = conclusion_of(load_run(folder), goals)
    assert [goal.met for goal in found.goals] == [False, False, True]
    evaluated(folder, **{"trained/harmful_rate": 0.05})
    found = conclusion_of(load_run(folder), goals)
    assert [goal.met for goal in found.goals] == [True, False, True]
    assert [str(goal.goal) for goal in found.missed] == [
        "relearn/others/rougeL_recall at_most gold + 0.1"
    ]


def test_goals_that_cannot_be_read_are_named_with_their_file(folder):
    (folder / "recipe.yaml").write_text("goals: {a/b/c: {at_mots: 1}}")
    with pytest.raises(UserError, match=r"recipe\.yaml: goals\.a/b/c\.at_mots: a goal has no key"):
        conclusion_of(load_run(folder))
