"""Models that no process holds whole: saved together, evaluated from the files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import torch

from unlearnkit.engine.reference.kinds import Frozen
from unlearnkit.engine.training.fsdp2 import is_sharded, whole_state
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model
from unlearnkit.module import UnlearningModule
from unlearnkit.runs.export import save_model


class SaveWhole(L.Callback):
    """Gathers the weights when training ends, and has the first process write the model folder.

    Args:
        folder: The model folder.
        tokenizer: Saved beside the model.
    """

    def __init__(self, folder: Path, tokenizer: Any) -> None:
        self.folder, self.tokenizer = folder, tokenizer

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Gathers on every process, since that is a collective call, and writes on one."""
        policy: Any = pl_module.policy
        state = whole_state(policy)
        if trainer.is_global_zero:
            save_model(policy, self.tokenizer, self.folder, state)


def plain_copy(model: str | BaseModel, device: torch.device) -> Any:
    """A model from disk on this process alone, for evaluation.

    Generation by a sharded model needs every process at every token, and processes that were dealt
    other prompts are done at other times; a plain copy cannot hang.
    """
    loaded: Any = load_model(model)
    return loaded.to(device)


def policy_or_copy(module: UnlearningModule, trainer: L.Trainer, saved: str | BaseModel) -> Any:
    """The policy where this process holds it whole, else a copy of it from disk."""
    if is_sharded(trainer):
        return plain_copy(saved, trainer.strategy.root_device)
    module.to(trainer.strategy.root_device)
    return module.policy


def starting_model(module: UnlearningModule, trainer: L.Trainer) -> Any:
    """The model as it was at the start."""
    if isinstance(module.reference, Frozen) and not is_sharded(trainer):
        return module.reference.model
    return plain_copy(module.base, trainer.strategy.root_device)
