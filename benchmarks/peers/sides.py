"""The interface of a measured loss, and our implementation of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from torch import Tensor
from transformers import PreTrainedModel

from benchmarks.peers.rows import StepRows
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives.base import Objective


class Side(NamedTuple):
    """A loss bound to a model."""

    prepare: Callable[[StepRows], Any]
    """Makes of a step's rows what `loss` takes; its time is not counted."""
    loss: Callable[[Any], Tensor]


Objectives = Mapping[str, Mapping[str, Any]]
"""Our objectives by stream: ``name`` and arguments."""


def module_of(model: PreTrainedModel, objectives: Objectives) -> UnlearningModule:
    """This library's module with such objectives, on the model itself."""
    made: dict[str, Objective] = {}
    for stream, arguments in objectives.items():
        rest = {key: value for key, value in arguments.items() if key != "name"}
        made[stream] = Objective.resolve(arguments["name"])(stream=stream, **rest)
    module = UnlearningModule(made)
    module.use_model(model)
    return module


def ours(model: PreTrainedModel, objectives: Objectives) -> Side:
    """This library's loss; packing is part of it, as it is of a run's loop."""
    module = module_of(model, objectives)
    read = module.streams_read

    def loss(rows: StepRows) -> Tensor:
        streams = {name: rows.streams[name] for name in rows.streams if name in read}
        return module.loss(module.packer(streams))

    return Side(lambda rows: rows, loss)
