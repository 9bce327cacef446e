"""The verb ``edit``."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file
from stub import save_stub

from unlearnkit.edits import Edit
from unlearnkit.functional import uld_logits
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model
from unlearnkit.runs import load_run


@pytest.fixture
def models(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("base", "tuned", "other"), start=1):
        save_stub({"random_init": seed}, tmp_path / name)
    return tmp_path


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_help_names_the_edits(command):
    done = command("edit", "--help")
    assert done.code == 0
    assert all(name in done.out for name in Edit.registered())


def test_an_unknown_edit_gets_the_nearest(command):
    done = command("edit", "negat")
    assert done.code == 2
    assert "Did you mean 'negate'?" in done.err


def test_negate_and_add_are_opposite(command, models):
    words = ("--base", "base", "--tuned", "tuned", "--scale", "0.5")
    assert command("edit", "negate", *words, "--out", "less").code == 0
    done = command("edit", "add", *words, "--out", "more")
    assert (done.code, done.out.strip()) == (0, "more")
    base, tuned = weights(models / "base"), weights(models / "tuned")
    less, more = weights(models / "less"), weights(models / "more")
    for name in base:
        torch.testing.assert_close(more[name], (base[name] + tuned[name]) / 2)
        torch.testing.assert_close(more[name] - base[name], base[name] - less[name])


def test_tuned_may_be_given_several_times(command, models):
    done = command(
        "edit", "add", "--base=base", "--tuned=tuned", "--tuned=other", "--out=both",
        "--method=ties", "--density=0.5",
    )  # fmt: skip
    assert done.code == 0, done.err
    assert '"name": "other"' in (models / "both" / "edit.json").read_text()


def test_what_is_missing_is_said(command, models):
    before = sorted(p.name for p in (models / "other").iterdir())
    done = command("edit", "negate", "--base", "base")
    assert done.code == 2
    assert "tuned, out" in done.err
    done = command("edit", "negate", "--base", "base", "--tuned", "tuned", "--out", "other")
    assert done.code == 2
    assert "other exists and is not empty" in done.err
    assert sorted(p.name for p in (models / "other").iterdir()) == before


def test_the_run_of_sku_stage_1_is_negated_and_the_edit_generates(command, models):
    done = command(
        "fit", "--recipe", "methods/sku_stage1", "--model.base", "base", "--evaluate", "[]",
        "--trainer.max_steps", "2", "--trainer.accelerator", "cpu",
        "--trainer.enable_progress_bar", "false",
    )  # fmt: skip
    assert done.code == 0, done.err
    (run,) = (models / "runs" / "methods").rglob("summary.json")
    bad = load_run(run.parent).model
    done = command("edit", "negate", "--base", "base", "--tuned", str(run.parent), "--out", "good")
    assert done.code == 0, done.err
    base, found = weights(models / "base"), weights(models / "good")
    for name, each in weights(bad).items():
        torch.testing.assert_close(found[name], 2 * base[name] - each)
    assert any(not torch.equal(found[name], base[name]) for name in base)
    done = command("generate", "good", "ab", "--max_new_tokens", "3")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("offset", "--small_tuned", "tuned", "--small", "other", "--alpha", "0.5"), "tuned"),
        (("ucd", "--without", "tuned", "--trained", "other", "--alpha", "2"), None),
        (("uld", "--assistant", "tuned", "--weight", "-0.5"), "assistant"),
        (("whp", "--reinforced", "tuned", "--alpha", "5"), None),
    ],
)
def test_a_wrapper_is_a_folder_that_every_verb_takes(command, models, words, part):
    done = command("edit", *words, "--base", "base", "--out", "made")
    assert (done.code, done.out.strip()) == (0, "made"), done.err
    kept = [p.parent.name for p in (models / "made").rglob("*.safetensors")]
    assert kept == ([part] if part else [])
    done = command("generate", "made", "ab", "--against", "tuned", "--max_new_tokens", "3")
    assert done.code == 0, done.err
    rows = "".join(
        f'{{"prompt": "{"abcde" * 8}", "response": "{"edcba" * 3}", "text": "{"abcde" * 20}"}}\n'
        for _ in range(3)
    )
    (models / "rows.jsonl").write_text(rows)
    suite = "{name: privacy, forget: forget.jsonl, holdout: retain.jsonl}"
    done = command("evaluate", "made", "--suite", suite, "--device", "cpu")
    assert done.code == 0, done.err
    done = command("export", "made", "whole", "--merge")
    assert (done.code, done.out.strip()) == (0, "whole"), done.err
    assert len([*(models / "whole").rglob("model.safetensors")]) == 2 + (
        words[0] in ("offset", "ucd")
    )
    done = command("generate", "whole", "ab", "--against", "made", "--max_new_tokens", "3")
    assert done.code == 0, done.err


def test_other_tokenizers_are_refused(command, models):
    save_stub({"random_init": 4, "add_bos": True}, models / "bos")
    done = command("edit", "whp", "--base", "base", "--reinforced", "bos", "--out", "made")
    assert done.code == 2
    assert "field 'tokenizer': found another one" in done.err
    assert not (models / "made").exists()


OFFSET = "{path: base, offset: {small: other, first_blocks: 1, alpha: 0.5}}"


def test_an_offset_run_is_a_run_like_any_other(command, models, recipe):
    done = command(
        "fit", "--recipe", "good.yaml", "--model.base", OFFSET, "--trainer.max_steps", "2",
        "--trainer.enable_progress_bar", "false",
    )  # fmt: skip
    assert done.code == 0, done.err
    (summary,) = (models / "runs").rglob("summary.json")
    run = summary.parent
    assert [p.parent.name for p in (run / "model").rglob("*.safetensors")] == ["tuned"]
    done = command("generate", str(run), "ab", "--against", "base", "--max_new_tokens", "3")
    assert done.code == 0, done.err
    assert command("export", str(run), "exported").code == 0
    assert command("export", str(run), "merged", "--merge").code == 0
    ids = torch.tensor([[4, 5, 6]])
    trained = load_model(str(run))(ids).logits
    for folder in ("exported", "merged"):
        assert torch.equal(load_model(str(models / folder))(ids).logits, trained)
    base = load_model("base")(ids).logits
    assert not torch.equal(trained, base)
    assert torch.equal(load_model(BaseModel.from_recipe(load_run(run).base))(ids).logits, base)
    done = command("attack", str(run), "relearn", "--rows", "1", "--steps", "2", "--every", "2")
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("{path: base, offset: {smal: other}}", "smal"),
        ("{path: base, offset: {small: other, first_blocks: 7}}", "expected 1 to 2, found 7"),
        ("{path: base, offset: {small: bos}}", "field 'tokenizer': found another one"),
        ("{path: base, offset: {small: ./nowhere}}", "there is no folder ./nowhere"),
    ],
)
def test_a_wrong_offset_is_refused_before_a_model_is_loaded(
    command, models, monkeypatch, base, words
):
    save_stub({"random_init": 4, "add_bos": True}, models / "bos")
    monkeypatch.setattr("unlearnkit.module.load_model", None)
    done = command("fit", "--recipe", "good.yaml", "--model.base", base)
    assert done.code == 2
    assert words in done.err


@pytest.mark.parametrize(
    ("option", "value", "words"),
    [
        ("--model.lora", "{r: 2, target_modules: all-linear}", "model.lora"),
        ("--model.reference", "cached", "model.reference: 'cached'"),
        ("--model.objectives.forget", "{name: rmu, layer: 0}", "reads hidden states, which"),
    ],
)
def test_what_an_offset_cannot_do_is_said(command, models, monkeypatch, option, value, words):
    monkeypatch.setattr("unlearnkit.module.load_model", None)
    done = command(
        "fit", "--recipe", "good.yaml", "--model.base", OFFSET, option, value,
        "--trainer.enable_progress_bar", "false",
    )  # fmt: skip
    assert done.code == 2
    assert words in done.err


def test_an_assistant_of_the_first_blocks_with_an_adapter_is_merged(command, models):
    done = command(
        "fit", "--recipe", "good.yaml", "--model.base", "{path: base, first_blocks: 1}",
        "--model.lora", "{r: 2, target_modules: all-linear}", "--trainer.max_steps", "2",
        "--model.optimizer.lr", "0.1", "--trainer.enable_progress_bar", "false",
    )  # fmt: skip
    assert done.code == 0, done.err
    (summary,) = (models / "runs").rglob("summary.json")
    run = str(summary.parent)
    done = command("edit", "uld", "--base", "base", "--assistant", run, "--out", "made")
    assert done.code == 0, done.err
    made = load_model("made")
    assert made.parts["assistant"].config.num_hidden_layers == 1
    ids = torch.tensor([[4, 5, 6]])
    assistant = load_model(run)(ids).logits
    untrained = load_model(BaseModel("base", first_blocks=1))(ids).logits
    assert not torch.allclose(assistant, untrained)
    expected = uld_logits(load_model("base")(ids).logits, assistant)
    torch.testing.assert_close(made(ids).logits, expected, rtol=1e-4, atol=1e-5)
    # A task vector of the whole base and an assistant of one block is none.
    done = command("edit", "negate", "--base", "base", "--tuned", run, "--out", "less")
    assert done.code == 2
    assert "config.num_hidden_layers': found 1, expected 2" in done.err
    done = command("edit", "negate", "--base", "made", "--tuned", "made", "--out", "less")
    assert done.code == 2
    assert "composite model or a part of one" in done.err


ADAPTER = (
    "--model.base", "base", "--model.lora", "{r: 2, target_modules: all-linear}",
    "--trainer.max_steps", "2", "--model.optimizer.lr", "0.1",
    "--trainer.enable_progress_bar", "false",
)  # fmt: skip


def trained(command, models, run_dir, *words):
    done = command("fit", "--recipe", "good.yaml", *ADAPTER, "--run_dir", run_dir, *words)
    assert done.code == 0, done.err
    (summary,) = (models / run_dir).rglob("summary.json")
    return str(summary.parent)


def test_o3_of_two_runs_is_a_folder_that_every_verb_takes(command, models, recipe):
    pytest.importorskip("sklearn")
    first = trained(command, models, "one")
    orthogonal = f"{{name: orthogonal_lora, weight: 0.1, previous: ['{first}/model']}}"
    second = trained(
        command, models, "two", "--data.streams.forget.path", "retain.jsonl",
        "--model.objectives.orthogonal", orthogonal,
    )  # fmt: skip
    words = ("--base", "base", "--adapter", first, "--adapter", second)
    done = command("edit", "o3", *words, "--out", "made")
    assert (done.code, done.out.strip()) == (0, "made"), done.err
    kept = sorted(p.parent.name for p in (models / "made").rglob("adapter_model.safetensors"))
    assert kept == ["request1", "request2"]
    rows = json.loads((models / "made" / "gate.json").read_text())
    assert [row["prompt"] for row in rows] == [*"abc", *"cdea"]
    done = command("generate", "made", "ab", "--against", "tuned", "--max_new_tokens", "3")
    assert done.code == 0, done.err
    suite = "{name: privacy, forget: forget.jsonl, holdout: retain.jsonl}"
    text = [f'{{"prompt": "{a}", "response": "{"edcba" * 3}"}}' for a in "abcde"]
    for name in ("forget", "retain"):
        (models / f"{name}.jsonl").write_text("\n".join(text))
    done = command("evaluate", "made", "--suite", suite, "--device", "cpu")
    assert done.code == 0, done.err
    done = command("fit", "--recipe", "good.yaml", "--model.base", "made")
    assert done.code == 2
    assert "no trained component" in done.err
    done = command("edit", "negate", "--base", "made", "--tuned", "made", "--out", "less")
    assert done.code == 2
    assert "composite model or a part of one" in done.err


def test_what_o3_cannot_gate_is_said(command, models, recipe):
    pytest.importorskip("sklearn")
    run = trained(command, models, "one")
    for words, said in [
        (("--base", "other", "--adapter", run), "expected an adapter of other"),
        (("--base", "base", "--adapter", "tuned"), "is not a finished run"),
        (("--base", "base", "--adapter", run, "--score", "cosin"), "--score: expected cosine"),
    ]:
        done = command("edit", "o3", *words, "--out", "made")
        assert done.code == 2
        assert said in done.err
        assert not (models / "made").exists()
