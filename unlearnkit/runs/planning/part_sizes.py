"""Sizes of the parts of a recipe's micro-batches."""

from __future__ import annotations

from typing import NamedTuple

from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.encoded import StreamData
from unlearnkit.data.pack import Batch
from unlearnkit.data.packer import Packer
from unlearnkit.data.plan import StepPlan
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.data.streams.sampled import SampledData
from unlearnkit.errors import RecipeError
from unlearnkit.module import UnlearningModule
from unlearnkit.plain import spaced

STEPS_LOOKED_AT = 32
"""Micro-batches that are packed to see their sizes, evenly spaced over an epoch."""


class Size(NamedTuple):
    """Size of a part."""

    tokens: int
    responses: int
    keys: int
    """Keys of all parts of its attention."""
    attended: float
    """Tokens that its queries attend to, added up."""
    width: int


def sizes_of(
    module: UnlearningModule, data: UnlearningDataModule, plan: StepPlan, rows: bool
) -> tuple[list[list[Size]], list[str]]:
    """Sizes of the parts of some micro-batches, and the streams whose rows are not there yet.

    Raises:
        RecipeError: If no stream has rows yet.
    """
    layout = "rows" if rows else "packed"
    read = {name: data.data[name] for name in data.data if name in module.streams_read}
    unknown = [name for name, each in read.items() if waits(each)]
    known = {name: each for name, each in read.items() if name not in unknown}
    if not known:
        raise RecipeError("data.streams: none has rows before the model has answered")
    keep_last = "hidden" in module.needs
    packer = Packer(
        layout, frozenset(known), frozenset(), keep_last, module.max_tokens_per_micro_batch
    )
    found: list[list[Size]] = []
    for step in spaced(range(plan.steps_per_epoch), STEPS_LOOKED_AT):
        batches = {name: _rows(plan, name, each, step) for name, each in known.items()}
        found.append([_size(batch) for batch in packer(batches)])
    return found, unknown


def _rows(plan: StepPlan, name: str, data: StreamData, step: int) -> StreamBatch:
    draws = plan.draws(name, step, rank=0)
    return StreamBatch(tuple(e for draw in draws for e in data.at(*draw)), 1.0, 1.0)


def _size(batch: Batch) -> Size:
    tokens, responses = batch.input_ids.numel(), len(batch.target)
    width = batch.input_ids.shape[1]
    plan = batch.attention
    if plan is None:
        return Size(tokens, responses, tokens, tokens * width, width)
    pairs = zip(plan.queries, plan.keys, strict=True)
    attended = sum(q * (k - (q - 1) / 2) for q, k in pairs)
    return Size(tokens, responses, sum(plan.keys), attended, width)


def waits(data: StreamData) -> bool:
    """Whether the rows are answers that the run is to draw first."""
    return isinstance(data, SampledData) and not data.drawn


def answers_of(data: StreamData) -> int:
    """Response tokens of one pass; 0 where the model has not answered yet."""
    return 0 if waits(data) else sum(data.lengths(row, row)[1] for row in range(len(data)))
