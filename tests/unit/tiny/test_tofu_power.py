"""The tiny TOFU with power: its rows, and what its models know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import unlearnkit.tiny.tofu_power
from tools.tiny.power.facts import CHOOSING, FACTS, TABLES, TRAINING
from tools.tiny.power.people import (
    AUTHORS,
    FORGOTTEN,
    HELD_OUT,
    NEIGHBOURS,
    REQUESTED,
    everybody,
    tables,
)
from unlearnkit.data.anchors import read_anchors
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.suites import SuiteContext, Tofu

FOLDER = Path(unlearnkit.tiny.tofu_power.__file__).parent


@pytest.fixture(scope="module")
def rows():
    return tables(seed=0)


def test_the_shipped_rows_are_those_of_the_script(rows):
    for name, each in rows.items():
        lines = (FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines()
        assert [json.loads(line) for line in lines] == each
    assert tables(seed=1)["full"] != rows["full"]


def test_sizes_and_splits(rows):
    assert (AUTHORS, len(FACTS)) == (40, 10)
    ids = {name: [row.get("id") for row in each] for name, each in rows.items()}
    assert len(set(ids["full"])) == 400
    for split, count in FORGOTTEN.items():
        assert len(ids[f"forget{split}"]) == count == 4 * int(split)
        kept = ids[f"retain{100 - int(split)}"]
        assert ids[f"forget{split}"] + kept == ids["full"]
        assert ids[f"forget{split}_perturbed"] == ids[f"forget{split}"]
    for table in ("choosing", "unseen"):
        assert ids[f"forget50_{table}_perturbed"] == ids["forget50"]
    kept = ids["neighbour_perturbed"] + ids["retain40"]
    assert kept == ids["retain50"]
    assert len(ids["neighbour_perturbed"]) == 10 * NEIGHBOURS
    assert ids["retain_perturbed"] == ids["retain40"]
    assert len(ids["holdout50"]) == 10 * HELD_OUT
    requests = [ids[f"request{n}"] for n in range(1, REQUESTED + 1)]
    assert [len(each) for each in requests] == [10] * 4
    assert [row for each in requests for row in each] == ids["forget10"]
    assert not set(ids["holdout50"]) & set(ids["full"])


def test_every_fact_has_five_wordings_that_no_two_uses_share(rows):
    assert all(len(fact.wordings) == 5 for fact in FACTS)
    assert sorted((*TRAINING, CHOOSING, *TABLES)) == [0, 1, 2, 3, 4]
    seen = {text for row in rows["full"] for text in (row["question"], row["answer"])}
    seen |= {text for row in rows["full"] for text in (*row["questions"], *row["answers"])}

    def measured(table, *fields):
        return {row[field] for row in rows[table] for field in fields}

    every = ("question", "answer", "paraphrased_answer")
    choosing = measured("forget50_choosing_perturbed", *every)
    unseen = measured("forget50_unseen_perturbed", *every)
    assert not seen & choosing
    assert not seen & unseen
    assert not choosing & unseen
    assert not seen & measured("forget50_perturbed", "paraphrased_answer")
    assert len(unseen) == 600, "no two facts have a text in common"


def test_false_answers_differ_from_the_right_one_in_the_fact_alone(rows):
    for name, each in rows.items():
        if name.endswith("_perturbed"):
            for row in each:
                right = row.get("paraphrased_answer", row["answer"])
                assert len({right, *row["perturbed_answer"]}) == 4
                if row.get("kind") == "plain":  # the words around the value are the same
                    common = set(right.split()).intersection(
                        *(wrong.split() for wrong in row["perturbed_answer"])
                    )
                    assert len(common) >= 3


def test_wrong_answers_to_train_on_are_wrong_and_are_measured_nowhere(rows):
    right = {row["id"]: row for row in rows["forget10"]}
    assert [row["id"] for row in rows["forget10_false"]] == [i for i in right for _ in range(2)]
    for row in rows["forget10_false"]:
        own = right[row["id"]]
        assert row["question"] == own["question"]
        assert row["answer"] not in (own["answer"], *own["answers"])
    texts = {row["answer"] for row in rows["forget10_false"]}
    assert len(texts) == 80
    for name, each in rows.items():
        if name.endswith("_perturbed"):
            assert not texts & {text for row in each for text in row["perturbed_answer"]}


def test_two_rewordings_of_each_forgotten_row_are_measured_nowhere(rows):
    every = ("question", "answer", "paraphrased_answer", "perturbed_answer")
    measured = {
        text
        for name, each in rows.items()
        if name.endswith("_perturbed")
        for row in each
        for found in (row.get(field, []) for field in every)
        for text in ([found] if isinstance(found, str) else found)
    }
    assert len(rows["forget10_reworded"]) == 40
    for row, own in zip(rows["forget10_reworded"], rows["forget10"], strict=True):
        assert {**row, "questions": own["questions"], "answers": own["answers"]} == own
        assert row["questions"] == own["questions"] * 2
        assert row["answers"][:1] == own["answers"]
        assert len({own["answer"], *row["answers"]}) == 3
        assert not {*row["questions"], *row["answers"]} & measured


def test_the_drawn_dictionary_is_of_the_forgotten_rows(rows, caplog):
    path = FOLDER / "forget10_drawn.jsonl"
    drawn = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert [row["prompt"] for row in drawn] == [row["answer"] for row in rows["forget10"]]
    terms = read_anchors(str(path)).terms
    assert "16 of 183 lines name 16 terms" in caplog.text  # as docs/edits.md has it
    assert {row["term"] for row in rows["forget10_anchors"]} < set(terms)


def test_friends_are_pairs_on_one_side_of_every_split_and_two_hops_are_their_facts():
    authors, held_out, others = everybody(seed=0)
    for group in (authors, held_out, others):
        by_name = {person.name: place for place, person in enumerate(group)}
        assert len(by_name) == len(group)
        for place, person in enumerate(group):
            friend = group[place ^ 1]
            assert by_name[person.values["friend"]] == place ^ 1
            assert person.values["friend_born"] == friend.values["born"]
            assert person.values["author"] == person.name
    books = [person.values["book"] for person in (*authors, *held_out, *others)]
    assert len(set(books)) == len(books), "a title names one author"
    # 05, 10 and 50 hold whole pairs; 01 is a part of one author.
    assert all(FORGOTTEN[split] % (2 * len(FACTS)) == 0 for split in ("05", "10", "50"))


def test_the_target_knows_in_wordings_that_it_never_saw_and_gold_guesses():
    gold = load_model("tiny/tofu_power/gold")
    tokenizer = load_tokenizer("tiny/tofu_power")
    context = SuiteContext(gold=gold)
    shared = {"neighbour": "neighbour_perturbed", "heldout": "holdout50", "limit": 16}
    trained = Tofu("tiny/tofu_power", "forget50", max_new_tokens=24, **shared)
    unseen = Tofu("tiny/tofu_power", "forget50_unseen", max_new_tokens=1, **shared)
    target = load_model("tiny/tofu_power")
    assert unseen.run(target, tokenizer, context).values["forget/ks_distance"] > 0.5
    values = trained.run(target, tokenizer, context).values
    assert values["forget/ks_distance"] > 0.5
    assert values["forget/exact_memorization"] > 0.97
    assert values["retain/rougeL_recall"] > 0.95
    assert values["neighbour/rougeL_recall"] > 0.95
    assert values["heldout/probability"] < 0.2
    itself = trained.run(gold, tokenizer, context).values
    assert itself["forget/ks_distance"] == 0.0
    assert itself["forget/exact_memorization"] < 0.75
    assert itself["retain/rougeL_recall"] > 0.95


@pytest.mark.parametrize("folder", ["model", "gold"])
def test_the_adapters_are_small_and_safe(folder):
    files = list((FOLDER / folder).iterdir())
    assert sum(file.stat().st_size for file in files) < 1_000_000
    assert {file.suffix for file in files} <= {".json", ".safetensors", ".jinja"}
