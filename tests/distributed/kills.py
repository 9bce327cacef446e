"""Fits on two sharded processes, one of which is killed while a checkpoint is written.

Its arguments: OUT FOLDER MOMENT...
"""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from forked import forked
from lightning.pytorch.callbacks import ModelCheckpoint
from short_fits import objective, qa, stub_data
from strategies import Module, Weights
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter

from unlearnkit.engine.shards import folder as folders
from unlearnkit.engine.shards import saving
from unlearnkit.files import remove_left_behind
from unlearnkit.models.adapter import LoraConfig
from unlearnkit.runs.checkpoints import newest_checkpoint

MOMENTS: dict[str, tuple[int, Any, str, bool]] = {
    "0 copies its shards": (0, saving, "async_save", False),
    "1 copies its shards": (1, saving, "async_save", False),
    "0 writes its shards": (0, HuggingFaceStorageWriter, "write_data", False),
    "1 writes its shards": (1, HuggingFaceStorageWriter, "write_data", False),
    "1 has written its shards": (1, HuggingFaceStorageWriter, "write_data", True),
    "0 writes what is not sharded": (0, folders, "complete", False),
    "0 writes the list": (0, folders, "write_json", False),
    "0 renames the checkpoint before": (0, folders, "put_in_place", False),
    "0 has renamed the checkpoint before": (0, Path, "rename", True),
    "0 removes the checkpoint before": (0, shutil, "rmtree", False),
}
"""The process that is killed, and the function: before it is called, or after."""
STEPS, KILLED_AT = 6, 3


class KillAt(L.Callback):
    """Has this process killed at a moment of the checkpoint of a step."""

    def __init__(self, moment: str) -> None:
        self.rank, self.place, self.name, self.after = MOMENTS[moment]

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        # The callback that saves comes after all others.
        if trainer.global_step != KILLED_AT or trainer.global_rank != self.rank:
            return
        trainer.strategy.settle()  # pyright: ignore
        setattr(self.place, self.name, _killing(getattr(self.place, self.name), self.after))


def _killing(function: Callable, after: bool) -> Callable:
    def killed(*arguments: Any, **named: Any) -> None:
        if after:
            function(*arguments, **named)
        os.kill(os.getpid(), signal.SIGKILL)

    return killed


def main(out: str, rows: str, *moments: str) -> None:
    """Kills at each moment and resumes; writes the weights of all runs, and what kills left."""
    found, left = {"whole": _both(out, rows, "whole")[1]}, {}
    for moment in moments:
        codes, _ = _both(out, rows, moment, kill=moment)
        assert codes[MOMENTS[moment][0]] == -signal.SIGKILL, (moment, codes)
        assert codes[1 - MOMENTS[moment][0]] not in (0, None), (moment, codes)
        last = str(newest_checkpoint(Path(out, moment)))
        begun = _unfinished(Path(out, moment))
        remove_left_behind(Path(out))  # as the next run of a recipe does below its own folder
        left[moment] = {"by the kill": begun, "by the next run": _unfinished(Path(out, moment))}
        found[moment] = _both(out, rows, moment, resume=last)[1]
    Path(out, "weights.json").write_text(json.dumps(found))
    Path(out, "left.json").write_text(json.dumps(left))


def _unfinished(folder: Path) -> list[str]:
    """Folders whose writing has begun and not ended."""
    return [each.name for each in folder.glob(".*.unfinished") if each.is_dir()]


def _both(out: str, rows: str, name: str, **options: str) -> tuple[list[int | None], Any]:
    """Runs both processes, forked from this one; their codes, and the weights at the end."""
    result = Path(out, "weights")
    result.unlink(missing_ok=True)
    codes = forked(2, _fit, str(result), rows, str(Path(out, name)), options)
    return codes, json.loads(result.read_text()) if result.exists() else None


def _fit(result: str, rows: str, checkpoints: str, options: dict[str, str]) -> None:
    torch.manual_seed(2)
    module = Module(
        {
            "forget": objective("gradient_ascent", weight=0.1),
            "retain": objective("retain_kl"),
        },
        optimizer=partial(torch.optim.AdamW, lr=1e-2),
        lora=LoraConfig(r=2, target_modules=["q_proj", "v_proj"], lora_dropout=0.3),
    )
    module.spec = {"random_init": 1}
    streams = {name: qa(Path(rows, f"{name}.jsonl")) for name in ("forget", "retain")}
    weights = Weights()
    # One name, so that each checkpoint takes the place of the only one before.
    saving_each = ModelCheckpoint(
        checkpoints, "at", every_n_train_steps=1, enable_version_counter=False
    )
    killed = [KillAt(options["kill"])] if "kill" in options else []
    trainer = L.Trainer(
        accelerator="cpu",
        devices=2,
        strategy="fsdp2",
        max_steps=STEPS,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[weights, *killed, saving_each],
    )
    L.seed_everything(99 if "resume" in options else 0, verbose=False)
    trainer.fit(
        module,
        datamodule=stub_data(streams, batch_size=1, seed=11),
        ckpt_path=options.get("resume"),
        weights_only=True,
    )
    if trainer.is_global_zero:
        Path(result).write_text(json.dumps(weights.found))
