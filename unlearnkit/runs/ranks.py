"""Lets all processes of a run evaluate, and save together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.strategies.launchers.multiprocessing import _MultiProcessingLauncher

from unlearnkit.engine.generation.backends.saved import saved_as
from unlearnkit.engine.generation.dealing import Ranks
from unlearnkit.engine.reference.kinds import Frozen
from unlearnkit.engine.shards.export import gathered, goes_file_by_file, write_weights
from unlearnkit.engine.training.apart import measures_apart, sharded_copy
from unlearnkit.engine.training.fsdp2 import is_sharded
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model
from unlearnkit.module import UnlearningModule
from unlearnkit.runs.export import save_model


class Together(L.Callback):
    """Runs what comes before the training once all processes are there.

    Lightning starts the others only in the fit, and torchrun's would wait in vain for the first
    to join them while it evaluates.

    Args:
        before: What to run with them, in front of the module's and the strategy's setup.
    """

    def __init__(self, before: Callable[[Ranks | None], None]) -> None:
        self.ranks: Ranks | None = None
        self._before = before

    def setup(self, trainer: L.Trainer, pl_module: L.LightningModule, stage: str) -> None:
        """Joins the processes, and runs it."""
        self.ranks = Ranks.joined()
        self._before(self.ranks)
        if self.ranks is not None:
            # The first may have drawn answers; Lightning's own barriers wait for half an hour.
            self.ranks.of_first(None)

    def folder(self, own: Path) -> Path:
        """The first process's run folder, once it has come here; a collective call."""
        return own if self.ranks is None else Path(self.ranks.of_first(str(own)))


def take_part(trainer: L.Trainer) -> bool:
    """Whether there are other processes, which go on when the fit is over.

    Those that are spawned from this one end with it, and take their results along.
    """
    spawned = isinstance(trainer.strategy.launcher, _MultiProcessingLauncher)
    return trainer.world_size > 1 and not spawned


class SaveWhole(L.Callback):
    """Gathers weights when training ends, and has the first process write the model folder.

    One file of weights after the other where transformers saves them by the model's own names; of
    an adapter nothing else is gathered.

    Args:
        folder: The model folder.
        tokenizer: Saved beside the model.
    """

    def __init__(self, folder: Path, tokenizer: Any) -> None:
        self.folder, self.tokenizer = folder, tokenizer

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Gathers on every process, since that is a collective call, and writes on one."""
        policy: Any = pl_module.policy
        first = trainer.is_global_zero
        if goes_file_by_file(policy):
            write = partial(write_weights, policy)
            if first:
                save_model(policy, self.tokenizer, self.folder, {}, write)
            else:
                write(None)
            return
        state = gathered(policy, first)
        if first:
            save_model(policy, self.tokenizer, self.folder, state)


def plain_copy(model: str | BaseModel, device: torch.device) -> Any:
    """A model from disk on this process alone, for evaluation.

    Generation by a sharded model needs every process at every token, and processes that were dealt
    other prompts are done at other times; a plain copy cannot hang.
    """
    loaded: Any = load_model(model)
    return saved_as(loaded.to(device), model)


@dataclass(frozen=True)
class Models:
    """The models of a run that this process evaluates."""

    module: UnlearningModule
    trainer: L.Trainer

    def policy(self, saved: str | BaseModel) -> Any:
        """The policy where this process holds it whole, else what is saved of it."""
        if is_sharded(self.trainer):
            return self.from_disk(saved)
        self.module.to(self.trainer.strategy.root_device)
        return saved_as(self.module.policy, saved)

    def start(self) -> Any:
        """The model as it was at the start."""
        if isinstance(self.module.reference, Frozen) and not is_sharded(self.trainer):
            return saved_as(self.module.reference.model, self.module.base)
        return self.from_disk(self.module.base)

    def from_disk(self, model: str | BaseModel) -> Any:
        """A copy on this process, or where the strategy says so a part of one."""
        mesh = self.module.device_mesh
        if mesh is not None and measures_apart(self.trainer):
            return saved_as(sharded_copy(model, mesh), model)
        return plain_copy(model, self.trainer.strategy.root_device)
