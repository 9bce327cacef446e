"""Runs on stub models, as a library user would write them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from stub import stub_model, stub_tokenizer

from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.streams.base import Stream
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives.base import Objective

logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


def objective(name: str, **arguments: Any) -> Objective:
    return Objective.resolve(name)(**arguments)


def qa(path: Path | str, **arguments: Any) -> Stream:
    return Stream.resolve("qa")(path=str(path), **arguments)


def stub_data(
    streams: Mapping[str, Stream], spec: Mapping[str, Any] | None = None, **arguments: Any
) -> UnlearningDataModule:
    return UnlearningDataModule(
        dict(streams), tokenizer=stub_tokenizer(dict(spec or {})), **arguments
    )


def stub_module(
    objectives: Mapping[str, Objective],
    spec: Mapping[str, Any] | None = None,
    lr: float = 0.0,
    optimizer: type[torch.optim.Optimizer] = torch.optim.SGD,
    **arguments: Any,
) -> UnlearningModule:
    module = UnlearningModule(
        dict(objectives), optimizer=partial(optimizer, lr=lr), schedule="constant", **arguments
    )
    module.use_model(stub_model(dict(spec or {})))
    return module


class Recorder(L.Callback):
    """Keeps each micro-batch's rows, figures and modes, and each optimiser step's figures."""

    def __init__(self) -> None:
        self.rows: list[dict[str, tuple[int, ...]]] = []
        self.figures: list[dict[str, float]] = []
        self.policy_trains: list[bool] = []
        self.steps: list[dict[str, float]] = []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.rows.append({name: part.rows for name, part in batch[0].streams.items()})
        self.policy_trains.append(all(m.training for m in pl_module.policy.modules()))

    def on_before_optimizer_step(self, trainer, pl_module, optimizer) -> None:
        self.steps.append({key: float(value) for key, value in pl_module.step_metrics.items()})

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
        seen = {key: float(value) for key, value in pl_module.metrics.items()}
        parts = trainer.accumulate_grad_batches
        self.figures.append({**seen, "total": float(outputs["loss"]) * parts})


def train(
    module: UnlearningModule, data: UnlearningDataModule, *callbacks: L.Callback, **arguments: Any
) -> Recorder:
    """Fits, and gives back what was seen step by step."""
    recorder = Recorder()
    trainer = L.Trainer(
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        callbacks=[recorder, *callbacks],
        **arguments,
    )
    trainer.fit(module, datamodule=data)
    return recorder
