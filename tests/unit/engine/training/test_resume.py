"""A run that was stopped and resumed ends where the uninterrupted one ends, bit for bit."""

from __future__ import annotations

import json
import random
from functools import partial
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from peft import LoraConfig
from short_fits import Recorder, objective, qa, stub_data
from stub import stub_model

from unlearnkit import UnlearningModule
from unlearnkit.callbacks import CollapseStop
from unlearnkit.data.streams.base import Stream

ROWS = {"forget": "cdabe", "retain": "abcdeabcdea"}
EPOCHS = 4
LORA = partial(LoraConfig, r=4, target_modules=["q_proj", "v_proj"], lora_dropout=0.3)


class Stop(Exception):
    """Ends a fit at once, as a kill would."""


class SaveAndStop(L.Callback):
    """Saves after so many micro-batches, and ends the fit."""

    def __init__(self, after: int, path: Path) -> None:
        self.after, self.path = after, path

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        self.after -= 1
        if self.after == 0:
            trainer.save_checkpoint(self.path)
            raise Stop


class LearningRates(L.Callback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        self.seen.append(optimizer.param_groups[0]["lr"])


@pytest.fixture(scope="module")
def streams(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("streams")
    for name, letters in ROWS.items():
        rows = [
            {"prompt": a, "response": a + b} for a, b in zip(letters, letters[::-1], strict=True)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def _fit(
    streams: Path, *callbacks, ckpt_path=None, workers=0, accumulate=1, seed=5, lora=True, **trainer
):
    L.seed_everything(1, verbose=False)  # the same adapter at the start
    module = UnlearningModule(
        {
            "forget": objective("npo"),
            "mismatch": objective("random_mismatch"),
            "both": objective("pdu", dual=1.0, dual_step_size=0.5),
        },
        optimizer=partial(torch.optim.AdamW, lr=1e-2),
        warmup=0.2,
        lora=LORA() if lora else None,
    )
    module.use_model(stub_model({"random_init": 1}))
    mismatch = Stream.resolve("mismatch")(prompts="forget", answers="retain", per_prompt=2)
    data = stub_data(
        {
            "forget": qa(streams / "forget.jsonl"),
            "mismatch": mismatch,
            "retain": qa(streams / "retain.jsonl"),
        },
        batch_size=1,
        num_workers=workers,
        seed=3,
    )
    L.seed_everything(seed, verbose=False)
    recorder, rates = Recorder(), LearningRates()
    fitting = L.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        accumulate_grad_batches=accumulate,
        callbacks=[recorder, rates, CollapseStop(), *callbacks],
        **{"max_epochs": EPOCHS, "enable_checkpointing": False, **trainer},
    )  # fmt: skip
    try:
        fitting.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    except Stop:
        return None
    weights = {k: p.detach().clone() for k, p in module.policy.named_parameters()}
    dual = module.objectives["both"].dual
    return recorder, rates.seen, weights, dual, fitting.global_step


@pytest.fixture(scope="module")
def whole(streams):
    """An uninterrupted run; one with the same arguments is made once."""
    made: dict[tuple, tuple] = {}

    def run(**arguments):
        key = tuple(arguments.items())
        if key not in made:
            made[key] = _fit(streams, **arguments)
        return made[key]

    return run


def _assert_same(whole, resumed, done: int, steps_done: int) -> None:
    assert resumed[0].rows == whole[0].rows[done:]
    assert resumed[0].figures == whole[0].figures[done:]
    assert resumed[1] == whole[1][steps_done:]
    assert all(torch.equal(resumed[2][key], value) for key, value in whole[2].items())
    assert resumed[3:] == whole[3:]


@pytest.mark.parametrize("after", random.Random(0).sample(range(1, EPOCHS * 5), 10))
def test_a_resumed_run_ends_bit_for_bit_where_the_whole_one_ends(
    streams, whole, tmp_path, after
) -> None:
    assert _fit(streams, SaveAndStop(after, tmp_path / "at.ckpt")) is None
    resumed = _fit(streams, ckpt_path=tmp_path / "at.ckpt", seed=99)
    _assert_same(whole(), resumed, after, after)


BY_STEPS = {"max_steps": 10, "max_epochs": -1}


@pytest.mark.parametrize(
    ("after", "workers", "bound"),
    [*((after, 0, bound) for after in (1, 3, 5, 6, 12) for bound in ({}, BY_STEPS)), (6, 2, {})],
)
def test_accumulation_steps_back_to_the_window_start(
    streams, whole, tmp_path, after, workers, bound
) -> None:
    """Windows of 2 over epochs of 5: optimiser steps after micro-batches 2, 4, 5, 7, 9, 10, ..."""
    steps = [2, 4, 5, 7, 9, 10, 12, 14, 15, 17, 19, 20]
    assert _fit(streams, SaveAndStop(after, tmp_path / "at.ckpt"), accumulate=2, **bound) is None
    resumed = _fit(
        streams, ckpt_path=tmp_path / "at.ckpt", accumulate=2, workers=workers, seed=99, **bound
    )
    done = max((s for s in steps if s <= after), default=0)
    _assert_same(whole(accumulate=2, **bound), resumed, done, sum(s <= after for s in steps))


@pytest.mark.parametrize("lora", [True, False])
def test_checkpoints_of_lightning_at_epoch_ends_resume_too(streams, tmp_path, lora) -> None:
    keep = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1)
    whole = _fit(streams, keep, lora=lora, enable_checkpointing=True)
    for epoch in range(EPOCHS - 1):
        path = tmp_path / f"epoch={epoch}.ckpt"
        resumed = _fit(streams, ckpt_path=path, seed=99, lora=lora)
        _assert_same(whole, resumed, 5 * (epoch + 1), 5 * (epoch + 1))
