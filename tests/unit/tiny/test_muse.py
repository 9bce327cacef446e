"""The tiny MUSE: its rows, its models, and what the protocol says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import unlearnkit.tiny.muse
from tools.tiny.muse.news import FORGOTTEN, HELD_OUT, PROTECTED, UNSEEN, tables
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.suites import Muse, SuiteContext

FOLDER = Path(unlearnkit.tiny.muse.__file__).parent


def test_the_shipped_rows_are_those_of_the_script():
    found = tables(seed=0)
    for name, rows in found.items():
        lines = (FOLDER / f"{name}.jsonl").read_text("utf-8").splitlines()
        assert [json.loads(line) for line in lines] == rows
    assert found != tables(seed=1)


def test_the_sets_are_apart():
    rows = tables(seed=0)
    texts = {name: {row["text"] for row in rows[f"raw/{name}"]} for name in RAW}
    sizes = dict(zip(RAW, (FORGOTTEN, PROTECTED, UNSEEN, HELD_OUT), strict=True))
    assert {name: len(each) for name, each in texts.items()} == sizes
    assert len(set.union(*texts.values())) == sum(sizes.values())
    assert {row["text"] for row in rows["raw/all"]} == set.union(*(texts[n] for n in RAW[:3]))
    towns = [row["question"] for row in rows["knowmem/forget_qa"]]
    assert not set(towns) & {row["question"] for row in rows["knowmem/retain_qa"]}
    for row, text in zip(rows["verbmem/forget"], rows["raw/forget"], strict=True):
        assert row["prompt"] + row["gt"] == text["text"]


RAW = ("forget", "retain1", "retain2", "holdout")


def test_the_target_is_told_from_the_gold_model_and_gold_from_none():
    gold = load_model("tiny/muse/gold")
    tokenizer = load_tokenizer("tiny/muse")
    context = SuiteContext(gold=gold)
    suite = Muse("tiny/muse")
    target = suite.run(load_model("tiny/muse"), tokenizer, context).values
    itself = suite.run(gold, tokenizer, context).values
    assert target["forget/verbmem"] > 95
    assert target["forget/knowmem"] > 95
    assert target["forget/privleak"] < -50
    assert itself["forget/verbmem"] < 40
    assert itself["forget/knowmem"] < 50
    assert itself["forget/privleak"] == 0
    for values in (target, itself):
        assert values["retain/knowmem"] > 95


@pytest.mark.parametrize("folder", ["model", "gold"])
def test_the_models_are_small_and_safe(folder):
    files = list((FOLDER / folder).iterdir())
    assert sum(file.stat().st_size for file in files) < 1_500_000
    assert {file.suffix for file in files} <= {".json", ".safetensors", ".jinja"}
    config = json.loads((FOLDER / folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "tiny/gold"
