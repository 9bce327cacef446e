"""Unlearning in one call: a shipped method, rows in memory, a model in memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from datasets import Dataset

import unlearnkit
from unlearnkit import unlearn
from unlearnkit.data.streams.qa import QAStream
from unlearnkit.errors import DataError, RecipeError, UserError
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.suites.copyright import Copyright

TINY = Path(unlearnkit.__file__).parent / "tiny"


def _known(name):
    """Four rows that the embedded model knows."""
    return [json.loads(line) for line in (TINY / name).read_text("utf-8").splitlines()[:4]]


FORGET = _known("neighbour.jsonl")
RETAIN = [{"question": r["prompt"], "answer": r["response"]} for r in _known("questions.jsonl")]
QUIET = {"trainer.enable_progress_bar": False, "trainer.accelerator": "cpu"}


def _unlearn(folder, *given, **arguments):
    arguments = {"max_steps": 2, "evaluate": [], "run_dir": folder, **arguments}
    arguments["overrides"] = {**QUIET, **arguments.get("overrides", {})}
    model = load_model("tiny")
    return model, unlearn(model, load_tokenizer("tiny"), *given, **arguments)


@pytest.mark.parametrize("method", ["npo", "graddiff", "llmu", "idk", "rmu"])
def test_a_method_makes_a_copy_forget(tmp_path, method):
    model, (trained, result) = _unlearn(tmp_path, FORGET, Dataset.from_list(RETAIN), method)
    assert result.steps == 2
    assert result.recipe == f"methods/{method}"
    before = load_model("tiny").state_dict()
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert any((v != before[k]).any() for k, v in trained.state_dict().items())
    assert not trained.training
    recipe = yaml.safe_load((result.folder / "recipe.yaml").read_text())
    assert recipe["model"]["base"] == "LlamaForCausalLM in memory"
    assert recipe["data"]["streams"]["forget"] == {"name": "qa", "path": "rows of 'forget'"}


def test_values_reach_the_run(tmp_path):
    lora = {"r": 3, "target_modules": "all-linear"}
    overrides = {"model.objectives.forget.beta": 0.25}
    _, (trained, result) = _unlearn(
        tmp_path, FORGET, method="npo", lr=5e-4, epochs=7, max_steps=3, batch_size=2,
        max_length=48, lora=lora, seed=11, overrides=overrides,
    )  # fmt: skip
    recipe = yaml.safe_load((result.folder / "recipe.yaml").read_text())
    assert recipe["model"]["objectives"]["forget"]["beta"] == 0.25
    assert "'lr': 0.0005" in str(recipe["model"]["optimizer"])
    assert recipe["model"]["lora"]["r"] == 3
    assert (recipe["data"]["batch_size"], recipe["data"]["max_length"]) == (2, 48)
    assert (recipe["trainer"]["max_epochs"], recipe["trainer"]["max_steps"]) == (7, 3)
    assert (result.seed, result.steps) == (11, 3)
    assert trained.peft_config["default"].r == 3


def test_rows_to_retain_are_measured_where_no_loss_reads_them(tmp_path):
    _, (_, result) = _unlearn(
        tmp_path, FORGET, RETAIN, lr=2e-3, max_steps=4, evaluate=[Copyright(max_new_tokens=4)]
    )
    values = result.suites["copyright"]
    assert {"forget/nll", "normal/kl_to_reference"} <= values["after"].keys()
    assert values["after"]["forget/nll"] > values["before"]["forget/nll"]
    assert result.conclusion


def test_streams_say_how_rows_are_read(tmp_path):
    rows = [{"q": row["prompt"], "a": row["response"]} for row in FORGET]
    with pytest.raises(DataError, match="rows of 'forget': found the fields 'q', 'a', expected"):
        _unlearn(tmp_path, rows)
    _, (_, result) = _unlearn(tmp_path, QAStream(rows, prompt_field="q", response_field="a"))
    assert result.steps == 2
    passages = [row["text"] for row in _known("book.jsonl")]
    _, (_, result) = _unlearn(tmp_path, passages, max_length=64)
    assert result.steps == 2


@pytest.mark.parametrize(
    ("given", "arguments", "message"),
    [
        ((FORGET,), {"method": "npoo"}, "there is no method 'npoo'. Did you mean 'npo'"),
        ((FORGET,), {"method": "npo_kl"}, "'npo_kl' trains on rows to retain, and none are given"),
        ((FORGET,), {"lr": "fast"}, "unlearn: model.optimizer.lr"),
        ((FORGET,), {"overrides": {"model.objectives.forget.bata": 1}}, "unlearn: model.obj.*bata"),
        ((FORGET,), {"overrides": {"model.base": "tiny"}}, "model.base is an argument of its own"),
        ((FORGET,), {"overrides": {"data.streams.forget.limit": 1}}, "argument of its own"),
        ((FORGET,), {"lora": {"rank": 3}}, "unlearn: model.lora"),
        ((QAStream(FORGET),), {"chat": True}, "chat: forget is a stream"),
    ],
)
def test_mistakes_are_refused_before_a_model_is_copied(tmp_path, given, arguments, message):
    with pytest.raises(RecipeError, match=message):
        _unlearn(tmp_path, *given, **arguments)
    assert not any(tmp_path.iterdir())


def test_bad_rows_are_named_with_their_places(tmp_path):
    with pytest.raises(UserError) as error:
        _unlearn(tmp_path, [*FORGET, {"prompt": "Who?", "response": 5}], [*RETAIN, {"question": 1}])
    found = str(error.value)
    assert "rows of 'forget', row 5, field 'response': found number, expected text" in found
    assert "rows of 'retain', row 5" in found


def test_a_misspelt_keyword_is_an_error(tmp_path):
    with pytest.raises(TypeError, match="learning_rate"):
        _unlearn(tmp_path, FORGET, learning_rate=1e-4)


def test_the_front_door_imports_nothing():
    code = (
        "import sys, unlearnkit; assert not {'torch', 'lightning', 'transformers', 'datasets'} & "
        "{name.split('.')[0] for name in sys.modules}"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
