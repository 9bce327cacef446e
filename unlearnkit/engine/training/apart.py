"""Models that no process holds whole."""

from __future__ import annotations

from typing import Any

import lightning as L
from lightning.pytorch.strategies import DeepSpeedStrategy, ModelParallelStrategy
from torch.distributed.device_mesh import DeviceMesh

from unlearnkit.engine.training.fsdp2 import FSDP2Strategy, let_go, shard, sharding_mesh
from unlearnkit.engine.training.slices import Slices
from unlearnkit.models.load import load_model


def takes_apart(trainer: L.Trainer) -> bool:
    """Whether the trainer's strategy leaves no process with whole weights and gradients."""
    return isinstance(trainer.strategy, ModelParallelStrategy | DeepSpeedStrategy)


def step_of(trainer: L.Trainer) -> dict[str, Any]:
    """What preflight asks of a trainer: whether weights are whole, and what a step consists of."""
    return {
        "apart": takes_apart(trainer),
        "accumulate": trainer.accumulate_grad_batches,
    }


def measures_apart(trainer: L.Trainer) -> bool:
    """Whether suites measure sharded models before and after the training."""
    strategy = trainer.strategy
    return isinstance(strategy, FSDP2Strategy) and strategy.evaluation == "sharded"


def sharded_copy(model: Any, mesh: DeviceMesh) -> Any:
    """A model from disk, in eval mode, of which each process holds its part.

    A collective call, and so is each pass of the model. What cannot be read in slices is read
    whole by each process, and then sharded.

    Args:
        model: A folder or name, or a `BaseModel`.
        mesh: The run's processes, as Lightning's strategy has them.
    """
    slices = Slices.of(model)
    found: Any = load_model(model) if slices is None else slices.unread()
    found.requires_grad_(False)
    shard([found], sharding_mesh(mesh))
    if slices is not None:
        slices.fill(found)
    let_go(found)
    return found.eval()
