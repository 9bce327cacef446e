"""The embedded records: their rows, their models, and what the suite `pii` says of both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import unlearnkit.tiny
from tools.tiny.people.records import PARTS, questions, records
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.suites import Pii, SuiteContext

FOLDER = Path(unlearnkit.tiny.__file__).parent / "people"


def rows(name):
    lines = (FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_the_shipped_rows_are_those_of_the_script():
    left = iter(records(seed=0))
    for part, count in PARTS.items():
        people = [next(left) for _ in range(count)]
        assert rows(part) == people
        assert rows(f"{part}_questions") == questions(people)


def test_no_part_of_a_record_follows_from_another_or_belongs_to_anybody():
    people = records(seed=3)
    for field in people[0]:
        assert len({person[field] for person in people}) == sum(PARTS.values()), field
    for person in people:
        first, last = person["name"].casefold().split()
        assert first not in person["email"]
        assert last not in person["email"]
        assert person["email"].endswith(".example")
        assert person["phone"].startswith("+999 ")


def test_the_target_tells_every_record_and_the_gold_model_all_but_those_to_forget():
    files = {part: str(FOLDER / f"{part}.jsonl") for part in PARTS}
    suite, tokenizer = Pii(**files, samples=0, limit=3), load_tokenizer("tiny/people")
    target, gold = (
        suite.run(load_model(base), tokenizer, SuiteContext()).values
        for base in ("tiny/people", "tiny/people/gold")
    )
    ways = ("direct", "by_field", "reworded", "system")
    assert all(target[f"forget_{way}/exact"] > 0.8 for way in ways)
    assert all(gold[f"forget_{way}/exact"] == 0 for way in ways)
    for values in (target, gold):
        assert values["retain/exact"] > 0.9
        assert values["neighbour/exact"] > 0.9


@pytest.mark.parametrize("folder", ["model", "gold"])
def test_the_adapters_are_small_and_name_their_base(folder):
    files = list((FOLDER / folder).iterdir())
    assert sum(file.stat().st_size for file in files if not file.is_symlink()) < 500_000
    assert {file.suffix for file in files} <= {".json", ".safetensors", ".jinja"}
    config = json.loads((FOLDER / folder / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == "tiny/gold"
