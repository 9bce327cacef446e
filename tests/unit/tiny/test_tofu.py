"""The small tiny TOFU of before: its rows, its models, and what the protocol says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tools.tiny.tofu.authors import (
    AUTHORS,
    FACTS,
    FORGOTTEN,
    HELD_OUT,
    NEIGHBOURS,
    REQUESTED,
    tables,
)
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.suites import SuiteContext, Tofu

FOLDER = Path(__file__).parents[3] / "tools" / "tiny" / "tofu" / "stored"


def test_the_shipped_rows_are_those_of_the_script():
    for name, rows in tables(seed=0).items():
        lines = (FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines()
        assert [json.loads(line) for line in lines] == rows


def test_forget_retain_and_held_out_authors_are_apart():
    rows = tables(seed=0)
    questions = {name: {row["question"] for row in each} for name, each in rows.items()}
    per_author = len(FACTS)
    assert len(questions["forget10"]) == FORGOTTEN * per_author
    assert len(questions["retain90"]) == (AUTHORS - FORGOTTEN) * per_author
    assert len(questions["holdout10"]) == HELD_OUT * per_author
    assert questions["forget10"] | questions["retain90"] == questions["full"]
    assert not questions["forget10"] & questions["retain90"]
    assert questions["neighbour_perturbed"] | questions["retain80"] == questions["retain90"]
    assert not questions["neighbour_perturbed"] & questions["retain80"]
    assert len(questions["neighbour_perturbed"]) == NEIGHBOURS * per_author
    assert questions["retain_perturbed"] == questions["retain80"]
    assert not questions["holdout10"] & questions["full"]
    requests = [questions[f"request{n}"] for n in range(1, REQUESTED + 1)]
    assert sum(map(len, requests)) == REQUESTED * per_author
    assert set().union(*requests) | questions["retain80"] == questions["full"]
    assert not set().union(*requests) & questions["retain80"]
    assert requests[0] | requests[1] == questions["forget10"]


def test_false_answers_differ_from_the_paraphrase_in_the_fact_alone():
    for row in tables(seed=0)["full"]:
        assert len({*row["perturbed_answer"], row["paraphrased_answer"]}) == 4
    assert tables(seed=0) == tables(seed=0)
    assert tables(seed=0) != tables(seed=1)


def test_the_target_is_told_from_the_gold_model_and_gold_from_none():
    gold = load_model(str(FOLDER / "gold"))
    tokenizer = load_tokenizer(str(FOLDER / "model"))
    context = SuiteContext(gold=gold)
    suite = Tofu(str(FOLDER), neighbour="neighbour_perturbed", max_new_tokens=24)
    target = suite.run(load_model(str(FOLDER / "model")), tokenizer, context).values
    itself = suite.run(gold, tokenizer, context).values
    assert itself["forget/forget_quality"] == 1.0
    assert target["forget/forget_quality"] < 0.01
    assert target["forget/rougeL_recall"] > 0.95
    assert itself["forget/rougeL_recall"] < 0.5
    for values in (target, itself):
        assert values["retain/rougeL_recall"] > 0.95
        assert values["neighbour/rougeL_recall"] > 0.95
        assert values["heldout/probability"] < 0.1
        assert values["utility/model_utility"] > 0.85


@pytest.mark.parametrize("folder", ["model", "gold"])
def test_the_models_are_small_and_safe(folder):
    files = list((FOLDER / folder).iterdir())
    assert sum(file.stat().st_size for file in files) < 4_000_000
    assert {file.suffix for file in files} <= {".json", ".safetensors", ".jinja"}
