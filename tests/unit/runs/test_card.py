"""The model card and what else lies in a model folder (case 39)."""

from __future__ import annotations

import inspect
from functools import partial

import lightning as L
import pytest
import torch
from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from peft import LoraConfig, PeftModel
from rows import FORGET, RETAIN
from short_fits import objective, qa
from stub import save_stub
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from unlearnkit import UnlearningDataModule, UnlearningModule, export, fit
from unlearnkit.errors import UserError
from unlearnkit.runs import load_run
from unlearnkit.runs.card import card_with_verdict
from unlearnkit.suites import Suite
from unlearnkit.verdict import Verdict

LORA = LoraConfig(r=2, target_modules=["q_proj", "v_proj"])


def _html(text: str) -> str:
    return MarkdownIt("commonmark").enable("table").render(text)


@pytest.fixture
def run(written, tmp_path):
    folder = written(forget=FORGET, retain=RETAIN)
    base = save_stub({"random_init": 1, "chat_template": "{{ messages }}"}, tmp_path / "stub")

    def start(*, lora=None, evaluate=(), recipe_name="case", **names: str):
        forget = names.get("forget", "forget")
        module = UnlearningModule(
            {
                names.get("objective", "ascent"): objective(
                    "gradient_ascent", stream=forget, weight=0.25
                ),
                "retain": objective("retain_kl"),
            },
            base=str(base), optimizer=partial(torch.optim.SGD, lr=0.125), lora=lora,
        )  # fmt: skip
        data = UnlearningDataModule(
            {forget: qa(folder / "forget.jsonl"), "retain": qa(folder / "retain.jsonl")},
            tokenizer=str(base), batch_size=2, anchor=forget,
        )  # fmt: skip
        trainer = L.Trainer(
            accelerator="cpu", max_steps=2, enable_progress_bar=False, enable_model_summary=False
        )
        summary = fit(
            module, data, trainer, recipe_name=recipe_name, run_dir=tmp_path / "runs", seed=7,
            recipe_text=f"model: {{base: {base}}}\n", evaluate=evaluate,
        )  # fmt: skip
        return module, data, summary

    return start


def test_the_card_says_what_how_and_with_which_figures(run) -> None:
    suite = Suite.resolve("copyright")(normal="retain")
    _, data, summary = run(evaluate=[suite])
    card = ModelCard.load(summary.folder / "model" / "README.md")
    assert card.data.base_model == "stub"
    assert card.data.library_name == "transformers"
    assert card.data.tags == ["unlearnkit", "machine-unlearning"]
    assert f"| forget | {len(data.data['forget'])} | ascent | `sha256:" in card.text
    assert "| ascent | gradient\\_ascent | 0.25 | forget |" in card.text
    assert "2 optimiser steps of SGD, learning rate 0.125 (linear), effective batch 2" in card.text
    assert "seed 7" in card.text
    figures = summary.suites["copyright"]
    nll = "forget/nll"
    assert f"| {nll} | {figures['before'][nll]:.3f} | {figures['after'][nll]:.3f} |" in card.text
    assert "No such model (gold) was evaluated" in card.text
    assert "No suite was run" not in card.text
    verdict = summary.conclusion["verdict"]
    assert f"## Verdict\n\n**{verdict['name']}: " in card.text
    assert "Relearning not tested." in card.text
    # A later attack may change it.
    card_with_verdict(summary.folder / "model", Verdict("relearns", "bad", "it is *back*"))
    changed = ModelCard.load(summary.folder / "model" / "README.md")
    assert r"## Verdict" + "\n\n" + r"**relearns: it is \*back\*.**" + "\n\n## What" in changed.text
    assert changed.text.count("## ") == card.text.count("## ")
    # A blank line in a table would cut it in two.
    shown = _html(card.text)
    # Streams, objectives, the suite, and how fluent the answers are.
    assert shown.count("<table>") == 4
    assert "<td>|" not in shown


def test_a_card_without_figures_says_so(run) -> None:
    _, _, summary = run()
    text = (summary.folder / "model" / "README.md").read_text()
    assert "No suite was run: nothing is known" in text
    assert str(summary.folder.parents[2]) not in text  # paths are private


def test_an_adapter_has_its_own_card_and_merged_another(run, tmp_path) -> None:
    _, _, summary = run(lora=LORA)
    adapter = summary.folder / "model"
    card = ModelCard.load(adapter / "README.md")
    assert card.data.library_name == "peft"
    assert card.data.tags[:2] == ["base_model:adapter:stub", "lora"]
    assert "This folder holds a LoRA adapter of rank 2; load it" in card.text
    assert "[More Information Needed]" not in card.text
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "stub")
    assert PeftModel.from_pretrained(base, adapter)
    merged = export(summary.folder, tmp_path / "merged", merge=True)
    card = ModelCard.load(merged / "README.md")
    assert card.data.library_name == "transformers"
    assert card.data.base_model == "stub"
    assert "lora" not in card.data.tags
    assert "trained as a LoRA adapter of rank 2, which is merged into the weights" in card.text
    copied = export(summary.folder, tmp_path / "copied")
    assert (copied / "README.md").read_text() == (adapter / "README.md").read_text()


def test_an_export_has_all_that_serving_needs(run, tmp_path) -> None:
    _, _, summary = run()
    folder = export(summary.folder, tmp_path / "out")
    assert {path.name for path in folder.iterdir()} == {
        "README.md", "chat_template.jinja", "config.json", "generation_config.json",
        "digests.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert GenerationConfig.from_pretrained(folder).eos_token_id == 3
    assert AutoTokenizer.from_pretrained(folder).chat_template == "{{ messages }}"


def test_names_are_shown_and_not_rendered(run) -> None:
    bad = "x|<img src=a>*b*`"
    _, _, summary = run(forget=bad, objective="o|<i>", recipe_name="# heading")
    text = (summary.folder / "model" / "README.md").read_text()
    shown = _html(ModelCard(text).text)
    assert "<img" not in shown
    assert "<i>" not in shown
    assert shown.count("<h1") == 1
    assert "x|&lt;img src=a&gt;*b*`" in shown


def test_a_card_that_cannot_be_written_leaves_a_finished_run(run, tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise UserError("README.md cannot be written: the disk is full")

    # The function, since `unlearnkit.runs.fit` is one too.
    monkeypatch.setitem(inspect.unwrap(fit).__globals__, "write_card", full)
    with pytest.warns(UserWarning, match="the model's card.*disk is full"):
        run()
    (folder,) = (tmp_path / "runs" / "case").iterdir()
    assert load_run(folder).summary["steps"] == 2
