"""Batch, steps, warm-up and the end of the schedule are told, and are what happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import RichProgressBar
from rows import RETAIN
from stub import save_stub

from unlearnkit.callbacks.progress import EpochBar
from unlearnkit.runs.trainer import point_at

RECIPE = """\
model:
  base: {base}
  optimizer: {{name: SGD, lr: 1.0e-5}}
  warmup: 0.1
  objectives:
    forget: {{name: gradient_ascent}}
    anchor: {{name: retain_nll, weight: 0.5}}
data:
  batch_size: 2
  streams:
    forget: {{name: qa, path: "{folder}/forget.jsonl"}}
    retain: {{name: qa, path: "{folder}/retain.jsonl"}}
trainer:
  max_epochs: 3
  accumulate_grad_batches: 2
  accelerator: cpu
  devices: 1
  enable_progress_bar: false
  callbacks: [{{class_path: rates.Rates}}]
evaluate: []
"""

RATES = """\
import json
import lightning as L

class Rates(L.Callback):
    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        with open("rates.txt", "a") as file:
            file.write(f"{optimizer.param_groups[0]['lr']}\\n")

    def on_train_end(self, trainer, pl_module):
        self.on_before_optimizer_step(trainer, pl_module, trainer.optimizers[0])
"""


@pytest.fixture
def words(recipe, folder, written, tmp_path) -> str:
    base = save_stub(None, tmp_path / "base")
    (folder / "rates.py").write_text(RATES)
    return recipe(RECIPE.format(folder=written(forget="a:cd " * 10, retain=RETAIN), base=base))


def _environment(folder: Path) -> dict:
    (file,) = folder.rglob("environment.json")
    return json.loads(file.read_text())


def test_the_banner_and_the_folder_say_how_long_and_how_much(command, folder, words) -> None:
    done = command("fit", "-r", words)
    assert done.code == 0
    banner = " ".join(done.err.split())
    assert "effective batch 4 = 2 × 2 accumulated × 1 process" in banner
    assert "steps 9 in all, 3 an epoch; warm-up 1, then linear" in banner
    assert "rows forget 10 (4 a step), retain 4 (4 a step)" in banner
    assert "1 · forget (gradient_ascent) on forget + 0.5 · anchor (retain_nll) on retain" in banner
    assert "on cpu, single_device, precision 32-true, weights float32" in banner
    in_bfloat16 = command("fit", "-r", words, "--trainer.precision", "bf16-true").err
    assert "precision bf16-true, weights bfloat16" in " ".join(in_bfloat16.split())
    found = json.loads(min(folder.rglob("environment.json")).read_text())
    assert str(folder / "base") in banner
    batches = found["batches"]
    assert batches["effective_batch"] == 4
    assert batches["micro_batches_per_epoch"] == 5
    assert (batches["steps_per_epoch"], batches["total_steps"]) == (3, 9)
    assert batches["warmup_steps"] == 1
    assert found["training"]["objectives"]["anchor"] == {
        "objective": "retain_nll", "weight": 0.5, "streams": ["retain"],
    }  # fmt: skip


def test_the_schedule_ends_with_the_last_step(command, folder, words) -> None:
    assert command("fit", "-r", words).code == 0
    rates = [float(line) for line in (folder / "rates.txt").read_text().split()]
    assert rates[:9] == pytest.approx([0.0, *(1e-5 * left / 8 for left in range(8, 0, -1))])
    assert rates[9:] == [0.0]


def test_validate_tells_the_same_numbers(command, words) -> None:
    done = command("validate", "-r", words)
    assert "optimiser steps per epoch: 3 " in done.out
    assert "optimiser steps in all: 9" in done.out
    assert "warm-up steps: 1" in done.out
    done = command("validate", "-r", words, "--trainer.limit_train_batches", "2")
    assert "optimiser steps in all: 3" in done.out


def test_the_banner_counts_what_is_trained_and_tells_where_the_run_goes_on_from(
    command, folder, words
) -> None:
    saving = "[{class_path: ModelCheckpoint, init_args: {every_n_train_steps: 1}}]"
    assert command("fit", "-r", words, "--trainer.callbacks", saving).code == 0
    (folder / "runs" / "recipe").rename(folder / "runs" / "first")
    checkpoint = next((folder / "runs" / "first").rglob("*.ckpt"))
    longer = ("--trainer.max_epochs", "4", "--resume_with_changes")
    done = command("fit", "-r", words, "--ckpt_path", str(checkpoint), *longer)
    assert done.code == 0
    assert f"continues from {checkpoint}" in " ".join(done.err.split())
    lora = command("fit", "-r", words, "--model.lora", "{r: 2, target_modules: [q_proj]}")
    trained = 2 * 2 * 2 * 16  # layers · (A and B) · rank · width
    assert f": {trained} of " in lora.err
    assert "reference not needed" in lora.err


def test_every_phase_has_its_banner(command, recipe, words, folder) -> None:
    text = (folder / words).read_text()
    phased = text + "phases:\n- {name: one}\n- {name: two, trainer: {max_epochs: 1}}\n"
    done = command("fit", "-r", recipe(phased, "phased.yaml"))
    assert done.code == 0
    banner = " ".join(done.err.split())
    assert "steps 9 in all" in banner
    assert "steps 3 in all" in banner


@pytest.mark.parametrize(("bound", "text"), [("max_steps", "Epoch 7"), ("max_epochs", "Epoch 7/8")])
def test_the_bar_makes_up_no_last_epoch(tmp_path, monkeypatch, bound, text) -> None:
    import lightning as L

    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, for rich

    given = RichProgressBar(refresh_rate=3, leave=True)
    trainer = L.Trainer(accelerator="cpu", callbacks=[given], **{bound: 9})
    point_at(trainer, tmp_path)
    bar = trainer.progress_bar_callback
    assert isinstance(bar, EpochBar)
    assert (bar.refresh_rate, bar._leave) == (3, True)
    bar.setup(trainer, torch.nn.Module(), "fit")
    assert bar._get_train_description(7).strip() == text


def test_a_schedule_without_an_end_is_refused_before_loading(command, folder, words) -> None:
    endless = ("--trainer.max_epochs", "-1", "--trainer.max_time", "00:00:00:01")
    for verb in ("validate", "fit"):
        done = command(verb, "-r", words, *endless)
        assert done.code == 2
        assert "model.schedule: 'linear' needs an end, and the run has none" in done.err
    assert not (folder / "runs").exists()
    done = command(
        "fit", "-r", words, *endless, "--model.schedule", "constant", "--model.warmup", "0"
    )
    assert done.code == 0
    assert "steps 3 an epoch, until the clock stops it" in " ".join(done.err.split())
    assert _environment(folder)["batches"]["total_steps"] is None
