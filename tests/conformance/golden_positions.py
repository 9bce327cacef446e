"""The positions whose predictions a published function reads, as views of our engine.

Most read the response tokens alone: those rows go through `pack`. Some read prompts or padding,
which no view of a training run holds; for them a `Batch` is made here by hand over the padded
rows, and the engine gives views of it all the same.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

import torch
from golden_objectives import IGNORED, Record, Rows, load_tokenizer
from torch import Tensor, nn

from unlearnkit.data.example import Example
from unlearnkit.data.pack import Batch, Layout, StreamSlice, pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.step.forward import ForwardPass, stream_views
from unlearnkit.engine.step.views import StreamView, TokenSource


class Positions(Enum):
    """Which positions of a batch."""

    RESPONSE = auto()
    """Those that predict response tokens."""
    HOLDING = auto()
    """Those that hold response tokens, for masks that are not shifted."""
    EVERY = auto()
    """All of them."""
    SHIFTED = auto()
    """All but each row's last; the label -100 counts from the end of the vocabulary."""
    FROM_PROMPT_END = auto()
    """From the last prompt token to the end of the padded row; padding has no loss."""


@dataclass(frozen=True)
class Demand:
    """What the objectives of a record ask of the engine."""

    layers: tuple[int, ...]
    hidden: bool
    reference: bool


@dataclass(frozen=True)
class LosslessPadding:
    """Log-probabilities in which padding tokens count as certain."""

    source: TokenSource
    real: Tensor  # [N] bool

    def logps(self, tokens: Tensor) -> Tensor:
        return self.source.logps(tokens) * self.real[tokens]


def read_views(
    record: Record,
    positions: Mapping[str, Positions],
    demand: Demand,
    dtype: torch.dtype,
    layout: Layout,
) -> dict[str, StreamView]:
    """A view of each role's batch at the positions that are wanted of it."""
    packed: dict[str, list[Example]] = {}
    views: dict[str, StreamView] = {}
    offsets: list[Tensor] = []
    for role, at in positions.items():
        if "questions" in record.batch(role):
            packed[role] = text_examples(record, role)
            offsets.append(torch.zeros(len(packed[role]), dtype=torch.long))
            continue
        rows = record.rows(role)
        at = simplest(at, rows, demand)
        if at is Positions.RESPONSE:
            packed[role] = examples_of(rows)
            offsets.append(rows.left_padding[(rows.labels != IGNORED).any(1)])
        else:
            vocabulary = record.policy(dtype).module.config.vocab_size
            batch, real = padded_batch(role, rows, at, vocabulary)
            views |= _views(record, batch, demand, dtype, real)
    if packed:
        batch = pack(
            {role: _stream_batch(examples) for role, examples in packed.items()},
            layout,
            keep_last=demand.hidden,
        )
        offset = torch.cat(offsets)
        if layout == "rows" and offset.any():
            batch = count_padding(batch, offset)
        views |= _views(record, batch, demand, dtype)
    return views


def simplest(at: Positions, rows: Rows, demand: Demand) -> Positions:
    """`RESPONSE` where it comes to the same, so that rows are packed if they can be."""
    labelled = rows.labels != IGNORED
    padding_after = ((rows.attention_mask == 0).cumsum(1) > rows.left_padding[:, None]).any()
    same = {
        Positions.RESPONSE: True,
        # Hidden states of response tokens are in a packed batch, unless a row is all response.
        Positions.HOLDING: demand.hidden and not labelled[:, 0].any(),
        Positions.EVERY: False,
        Positions.SHIFTED: bool(labelled[:, 1:].all()),
        # Padding counts where its id is not the one that is hard-coded.
        Positions.FROM_PROMPT_END: rows.pad_id == 1 or not padding_after,
    }
    return Positions.RESPONSE if same[at] else at


def examples_of(rows: Rows) -> list[Example]:
    """Prompts and responses without padding; a first token that is labelled is never predicted."""
    examples: list[Example] = []
    triples = zip(rows.input_ids, rows.attention_mask.bool(), rows.labels, strict=True)
    for index, (ids, real, labels) in enumerate(triples):
        tokens, targets = ids[real].tolist(), labels[real].tolist()
        start = max(1, sum(target == IGNORED for target in targets))
        if tokens[start:] != targets[start:]:
            raise ValueError(f"row {index}: labels are not the end of the row")
        if tokens[start:]:
            prompt, response = tuple(tokens[:start]), tuple(tokens[start:])
            examples.append(Example(prompt, response, index, "golden"))
    return examples


def text_examples(record: Record, role: str) -> list[Example]:
    """Every question with every random answer, the first three tokens being the prompt.

    The published code takes the number of the tokenizer's output fields, 2, for the place of the
    last prompt token.
    """
    batch, tokenizer = record.batch(role), load_tokenizer(record.folder)
    examples: list[Example] = []
    for row, question in enumerate(batch["questions"]):
        for answer in batch["random_answers"]:
            text = batch["template"].format(question=question, answer=answer)
            ids = tuple(tokenizer(text)["input_ids"])
            examples.append(Example(ids[:3], ids[3:], row, "golden"))
    return examples


def padded_batch(
    role: str, rows: Rows, at: Positions, vocabulary: int
) -> tuple[Batch, Tensor | None]:
    """A batch of the rows as they are, seen at certain positions; and which targets are real."""
    size, width = rows.input_ids.shape
    labelled = rows.labels != IGNORED
    seen = torch.ones(size, width, dtype=torch.bool)
    target = rows.input_ids
    if at is Positions.HOLDING:
        seen = labelled
    elif at is Positions.SHIFTED:
        seen[:, -1] = False
        target = rows.labels.where(labelled, IGNORED % vocabulary).roll(-1, 1)
    elif at is Positions.FROM_PROMPT_END:
        first = labelled.long().argmax(1)
        seen = torch.arange(width) >= first[:, None] - 1
        seen[:, -1] = False
        target = rows.input_ids.roll(-1, 1)
    place = seen.flatten().nonzero()[:, 0]
    counts = tuple(seen.sum(1).tolist())
    batch = Batch(
        input_ids=rows.input_ids,
        position_ids=torch.arange(width).expand(size, width),
        attention_mask=rows.attention_mask,
        attention=None,
        source=place,
        place=place,
        target=target[seen],
        sequence=torch.arange(size).repeat_interleave(seen.sum(1)),
        lengths=seen.sum(1),
        streams={
            role: StreamSlice(slice(0, len(place)), tuple(range(size)), counts, len(place), size)
        },
    )
    if at is not Positions.FROM_PROMPT_END:
        return batch, None
    return batch, (labelled & (rows.input_ids != rows.pad_id)).roll(-1, 1)[seen]


def count_padding(batch: Batch, offsets: Tensor) -> Batch:
    """Positions as they are when padding before a row is counted. ``offsets`` is ``[R]``."""
    positions = batch.position_ids + offsets[:, None]
    # Fill after a row's end may lie beyond the last position that the model knows.
    assert batch.attention_mask is not None
    return replace(batch, position_ids=positions * batch.attention_mask)


@contextmanager
def positions_of(batch: Batch, model: nn.Module) -> Iterator[None]:
    """Gives a model the positions of a batch of rows, which a training run leaves to the model."""

    def give(_model: nn.Module, arguments: Any, named: dict[str, Any]) -> tuple[Any, Any]:
        return arguments, {"position_ids": batch.position_ids, **named}

    hook = model.register_forward_pre_hook(give, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()


def _stream_batch(examples: Collection[Example]) -> StreamBatch:
    tokens = sum(len(example.response_ids) for example in examples)
    return StreamBatch(tuple(examples), tokens, len(examples))


def _views(
    record: Record, batch: Batch, demand: Demand, dtype: torch.dtype, real: Tensor | None = None
) -> dict[str, StreamView]:
    model = record.policy(dtype)
    with positions_of(batch, model.module):
        policy = ForwardPass(model.module, model.head, batch, layers=demand.layers)
    reference = None
    if demand.reference:
        kept = record.reference(dtype)
        with positions_of(batch, kept.model):
            reference = kept.forward(batch, demand.layers)
    if real is not None:
        return stream_views(batch, LosslessPadding(policy, real), reference)  # pyright: ignore
    return stream_views(batch, policy, reference)
