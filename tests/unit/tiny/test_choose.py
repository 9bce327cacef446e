"""Settings of the recipes are chosen on other rows than those they report."""

from __future__ import annotations

import json
from pathlib import Path

import unlearnkit.tiny.tofu_power
from tools.tiny.power.choose import trials, write_choosing

FOLDER = Path(unlearnkit.tiny.tofu_power.__file__).parent


def rows(folder: Path, name: str) -> list[dict]:
    lines = (folder / f"{name}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_authors_and_wordings_that_choose_are_reported_nowhere(tmp_path):
    write_choosing(tmp_path)
    reported = [*rows(FOLDER, "forget10"), *rows(FOLDER, "neighbour_perturbed")]
    told = {row["id"].partition("/")[0] for row in reported}
    chosen = {name: rows(tmp_path, name) for name in
              ("forget10", "forget10_perturbed", "neighbour_perturbed")}  # fmt: skip
    assert [len(each) for each in chosen.values()] == [40, 40, 40]
    authors = {name: {row["id"].partition("/")[0] for row in each} for name, each in chosen.items()}
    assert authors["forget10"] == authors["forget10_perturbed"]
    assert not authors["forget10"] & authors["neighbour_perturbed"]
    assert not set.union(*authors.values()) & told
    trained = {row[key] for row in chosen["forget10"] for key in ("question", "answer")}
    trained |= {text for row in chosen["forget10"] for text in row["questions"] + row["answers"]}
    assert not trained & {row["question"] for row in chosen["forget10_perturbed"]}


def test_trials_are_all_combinations():
    found = trials(["model.optimizer.lr=3.0e-4,1.0e-3", "edit=negate"])
    assert found == [
        {"model.optimizer.lr": 3e-4, "edit": "negate"},
        {"model.optimizer.lr": 1e-3, "edit": "negate"},
    ]
