"""The same number of passes on all processes of a sharded model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from unlearnkit.data.pack import Batch
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.generation.dealing import Ranks

Even = Callable[[list[Batch]], list[Batch]]
"""Given the parts of a micro-batch on this process, gives those that it runs."""


@dataclass(frozen=True)
class EvenParts:
    """Adds parts without rows, until each process has as many as the one that has most.

    Each pass of a sharded model is made by all processes together. A part without rows is one dummy
    token: its losses, metrics and gradients are 0, and it takes next to no time of its own.

    The processes tell each other their numbers, on the host: what a device is doing goes on.

    Args:
        empty: A part without rows, where the model is.
        ranks: The processes.
    """

    empty: Batch
    ranks: Ranks

    def __call__(self, parts: list[Batch]) -> list[Batch]:
        """The parts, and as many without rows as are missing here; a collective call."""
        most = self.ranks.most(len(parts))
        return [*parts, *[self.empty] * (most - len(parts))]


def evened_by(module: Any) -> Even:
    """What makes the parts of a micro-batch as many on each process, where they have to be.

    A collective call.

    Args:
        module: An `UnlearningModule` with a model, in a fit.
    """
    limit, trainer = module.max_tokens_per_micro_batch, module.trainer
    timeout = getattr(trainer.strategy, "_timeout", None)
    sharded = limit is not None and module.device_mesh is not None
    ranks = Ranks.joined(timeout) if sharded else None
    if ranks is None:
        return lambda parts: parts
    packer = module.packer
    (empty,) = packer({name: StreamBatch((), 1.0, 1.0) for name in packer.read})
    return EvenParts(empty.to(trainer.strategy.root_device), ranks)
