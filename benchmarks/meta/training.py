"""Trains one model of the zoo."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any

import lightning as L
import torch

from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.streams.base import Stream
from unlearnkit.engine.training.schedule import Schedule
from unlearnkit.models.adapter import LoraConfig
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives.base import Objective

BATCH_SIZE = 20
MAX_LENGTH = 96
WARMUP = 5


def trained(
    base: str,
    objectives: Mapping[str, Objective],
    streams: Mapping[str, Stream],
    *,
    steps: int,
    lr: float,
    seed: int,
    rank: int | None = None,
    warmup: int = WARMUP,
    schedule: Schedule = "linear",
) -> Any:
    """A model after some steps of AdamW.

    Args:
        base: Where it starts.
        objectives: Losses by name.
        streams: Rows by name; `forget` is what an epoch is counted by.
        steps: Optimiser steps.
        lr: Highest rate.
        seed: Of the order of rows.
        rank: Of an adapter that is trained in place of all weights, and merged.
        warmup: Steps in which the rate rises.
        schedule: Course of the rate after that.
    """
    L.seed_everything(seed, verbose=False)
    adapter = rank and LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    module = UnlearningModule(
        dict(objectives),
        base=BaseModel(base, dtype="float32"),
        optimizer=lambda p: torch.optim.AdamW(p, lr=lr, weight_decay=0.0, betas=(0.9, 0.98)),
        warmup=warmup,
        schedule=schedule,
        lora=adapter or None,
    )
    data = UnlearningDataModule(
        dict(streams), load_tokenizer(base), BATCH_SIZE, MAX_LENGTH, seed=seed
    )
    trainer = L.Trainer(
        max_steps=steps,
        max_epochs=-1,
        gradient_clip_val=1.0,
        accelerator="cpu",
        devices=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, datamodule=data)
    policy: Any = module.policy
    model = policy.merge_and_unload() if rank else policy
    del trainer, module, data
    gc.collect()  # a trainer and its module hold each other
    return model
