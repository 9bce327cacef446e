"""The verb ``edit``."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file
from stub import save_stub

from unlearnkit.cli.editing import EDITS
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
    assert all(name in done.out for name in EDITS)


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
