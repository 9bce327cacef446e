"""Runs that start from a model in memory."""

from __future__ import annotations

import json

import lightning as L
import pytest
import torch
from architectures import tiny_model
from peft import LoraConfig, get_peft_model
from rounding import margin
from torch import nn

from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.streams.qa import QAStream
from unlearnkit.errors import RecipeError
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.fingerprint import model_fingerprint
from unlearnkit.models.load import load_config, load_model
from unlearnkit.models.loaded import LoadedModel
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives import NPO, GradientAscent
from unlearnkit.runs import fit, load_run
from unlearnkit.suites.copyright import Copyright

ROWS = [{"prompt": f"Who rows the {x} ferry?", "response": f" It is {x}."} for x in "ABCD"]


def _trained(base, folder, lora=None, objective=None):
    module = UnlearningModule({"forget": objective or NPO()}, base=base, lora=lora)
    data = UnlearningDataModule({"forget": QAStream(ROWS)}, load_tokenizer("tiny"), batch_size=2)
    trainer = L.Trainer(
        max_steps=2, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    return module, fit(module, data, trainer, run_dir=folder, seed=3)


@pytest.mark.parametrize("lora", [None, LoraConfig(r=2, target_modules="all-linear")])
def test_a_run_from_memory_is_the_run_from_its_folder(tmp_path, lora):
    model = load_model("tiny").train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    _, summary = _trained(model, tmp_path / "memory", lora)
    _, expected = _trained("tiny", tmp_path / "folder", lora)
    found = load_model(str(load_run(summary.folder).model)).state_dict()
    wanted = load_model(str(load_run(expected.folder).model)).state_dict()
    assert any((wanted[k] != before[k]).any() for k in wanted)
    for name, weight in wanted.items():
        torch.testing.assert_close(found[name], weight, rtol=margin(), atol=margin())
    # what was given is as it was
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert model.training
    environment = json.loads((summary.folder / "environment.json").read_text())
    assert environment["model"]["base"] == "LlamaForCausalLM in memory"
    assert environment["model"]["fingerprint"] == LoadedModel(model).fingerprint()
    card = (summary.folder / "model" / "README.md").read_text()
    assert "LlamaForCausalLM in memory" in card
    assert "This folder holds a LoRA adapter" not in card


def test_what_is_frozen_stays_frozen():
    model = load_model("tiny")
    model.get_input_embeddings().requires_grad_(False)
    module = UnlearningModule({"forget": GradientAscent()}, base=model)
    module.configure_model()
    assert not module.policy.get_input_embeddings().weight.requires_grad
    assert module.policy is not model


def test_the_fingerprint_follows_the_weights():
    model, other = tiny_model("llama"), tiny_model("llama")
    assert model_fingerprint(LoadedModel(model)) == model_fingerprint(LoadedModel(other))
    with torch.no_grad():
        next(other.parameters()).view(-1)[0] += 1
    assert model_fingerprint(LoadedModel(model)) != model_fingerprint(LoadedModel(other))
    half = tiny_model("llama").to(torch.bfloat16)
    assert model_fingerprint(LoadedModel(half)).startswith("sha256:")


def test_two_models_are_not_one():
    model, other = tiny_model("llama"), tiny_model("llama")
    assert LoadedModel(model) == LoadedModel(model)
    assert len({LoadedModel(model), LoadedModel(model), LoadedModel(other)}) == 2
    assert load_config(LoadedModel(model)) is model.config


def test_a_suite_compares_with_the_model_as_it_was(tmp_path):
    model = load_model("tiny")
    module = UnlearningModule(
        {"forget": GradientAscent()}, base=model,
        optimizer=lambda p: torch.optim.AdamW(p, lr=1e-3),
    )  # fmt: skip
    data = UnlearningDataModule({"forget": QAStream(ROWS)}, load_tokenizer("tiny"))
    trainer = L.Trainer(
        max_steps=2, accelerator="cpu", logger=False, enable_progress_bar=False,
        enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip
    suite = Copyright(normal=QAStream(ROWS[:2]), heldout=QAStream(ROWS[2:]), max_new_tokens=4)
    summary = fit(module, data, trainer, run_dir=tmp_path, evaluate=[suite])
    values = summary.suites["copyright"]["after"]
    assert values["normal/kl_to_reference"] > 1e-3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Linear(1, 1), "found Linear"),
        (lambda: get_peft_model(tiny_model("llama"), LoraConfig(r=1)), "without an adapter"),
        (lambda: _not_finite(), "are NaN or infinite"),
    ],
)
def test_other_things_are_refused(make, message):
    with pytest.raises(RecipeError, match=message):
        UnlearningModule({"forget": NPO()}, base=make())


def _not_finite():
    model = tiny_model("llama")
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    return model


def test_a_model_without_its_tokenizer_says_so():
    with pytest.raises(RecipeError, match="tokenizer: expected the one of LlamaForCausalLM in mem"):
        load_tokenizer(LoadedModel(tiny_model("llama")))
    tokenizer = load_tokenizer("tiny")
    assert load_tokenizer(LoadedModel(tiny_model("llama"), tokenizer)) is tokenizer
