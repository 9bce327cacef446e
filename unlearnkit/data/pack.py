"""Packs rows of all streams into a forest of prompts and responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from unlearnkit.data.attention_plan import AttentionPlan, Tree, plan_attention
from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch

Layout = Literal["packed", "rows"]


class StreamSlice(NamedTuple):
    """Where a stream's sequences and response tokens lie in the batch."""

    tokens: slice
    rows: tuple[int, ...]
    lengths: tuple[int, ...]
    token_share: float
    sequence_share: float


@dataclass(frozen=True)
class Batch:
    """One micro-batch of all streams: ``S`` responses with ``N`` response tokens.

    ``packed`` is one row without padding in which equal prompts stand once; ``rows`` is one
    right-padded row per response. A response's last token is only ever a target, so it is not
    among the inputs unless hidden states of the response tokens themselves are needed.

    For the prompt ``a b`` with the responses ``c d`` and ``e f g``, packed::

        input_ids     a b c e f
        position_ids  0 1 2 2 3
        target        c d e f g
        source        1 2 1 3 4
        sequence      0 0 1 1 1
    """

    input_ids: Tensor  # [R, T]
    position_ids: Tensor  # [R, T]
    attention_mask: Tensor | None  # [R, T], None when packed
    attention: AttentionPlan | None  # None in rows
    source: Tensor  # [N] flat position whose output predicts the token
    place: Tensor  # [N] flat position of the token itself; of its predictor where it is no input
    target: Tensor  # [N] the token
    sequence: Tensor  # [N] its response, ascending
    lengths: Tensor  # [S] response tokens of each
    streams: Mapping[str, StreamSlice]
    examples: tuple[Example, ...] = ()  # the responses, to be packed anew where they are run apart
    keep_last: bool = False
    reference: Batch | None = None  # the streams that need reference values, where not all do
    stored: Mapping[str, Tensor] = field(default_factory=dict)  # reference values, [N, ...] each

    def to(self, device: torch.device | str, non_blocking: bool = False) -> Batch:
        """The batch with its tensors on a device."""
        return self.mapped(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with each of its tensors changed, always in the same order."""
        changed: dict[str, Any] = {}
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                changed[name] = change(value)
            elif isinstance(value, Batch | AttentionPlan):
                changed[name] = value.mapped(change)
        stored = {name: change(value) for name, value in self.stored.items()}
        return replace(self, **changed, stored=stored)

    @property
    def prompt_lengths(self) -> Tensor:
        """``[R]`` inputs before the first response token of each row; of the layout ``rows``."""
        rows, length = self.input_ids.shape
        found = torch.full((rows,), length, device=self.source.device)
        return found.scatter_reduce(0, self.sequence, self.source % length + 1, "amin")

    @property
    def sequences(self) -> int:
        """Number of responses, ``S``."""
        return sum(len(each.rows) for each in self.streams.values())


def pack(
    batches: Mapping[str, StreamBatch], layout: Layout = "packed", keep_last: bool = False
) -> Batch:
    """Joins the rows of all streams into one batch.

    Args:
        batches: Rows by stream name; a stream may be empty on a rank.
        layout: ``packed`` or ``rows``.
        keep_last: Feed each response's last token too, for objectives on hidden states.

    Returns:
        The batch, on the CPU. Without any row it is one dummy token and no response token, so
        that every rank can take part in the step.

    Example:
        >>> rows = StreamBatch((Example((5, 6), (7, 8), 0, "a:1"),
        ...                     Example((5, 6), (4, 3, 2), 0, "b:1")), 5, 2)
        >>> batch = pack({"forget": rows})
        >>> batch.input_ids.tolist(), batch.position_ids.tolist()
        ([[5, 6, 7, 4, 3]], [[0, 1, 2, 2, 3]])
        >>> batch.source.tolist(), batch.target.tolist(), batch.sequence.tolist()
        ([1, 2, 1, 3, 4], [7, 8, 4, 3, 2], [0, 0, 1, 1, 1])
    """
    examples = [example for batch in batches.values() for example in batch.examples]
    lay = _lay_packed if layout == "packed" else _lay_rows
    tensors, attention, spans = lay(examples, keep_last)
    sources: list[int] = []
    places: list[int] = []
    for example, (before, start) in zip(examples, spans, strict=True):
        length = len(example.response_ids)
        sources += [before, *range(start, start + length - 1)]
        places += range(start, start + length) if keep_last else sources[-length:]
    streams: dict[str, StreamSlice] = {}
    token = 0
    for name, batch in batches.items():
        length = sum(len(e.response_ids) for e in batch.examples)
        streams[name] = StreamSlice(
            slice(token, token + length),
            tuple(e.row for e in batch.examples),
            tuple(len(e.response_ids) for e in batch.examples),
            batch.token_share,
            batch.sequence_share,
        )
        token += length
    return Batch(
        **tensors,
        attention=attention,
        source=torch.tensor(sources, dtype=torch.long),
        place=torch.tensor(places, dtype=torch.long),
        target=torch.tensor([t for e in examples for t in e.response_ids], dtype=torch.long),
        sequence=torch.tensor(
            [s for s, e in enumerate(examples) for _ in e.response_ids], dtype=torch.long
        ),
        lengths=torch.tensor([len(e.response_ids) for e in examples], dtype=torch.long),
        streams=streams,
        examples=tuple(examples),
        keep_last=keep_last,
    )


def spares(batches: Mapping[str, StreamBatch], keep_last: bool = False) -> bool:
    """Whether the rows have fewer tokens packed than padded: by a shared prompt, or by lengths.

    Example:
        >>> one, other = Example((5,), (7, 8), 0, "a:1"), Example((6,), (4, 9), 1, "a:2")
        >>> spares({"forget": StreamBatch((one, other), 4, 2)})
        False
        >>> spares({"forget": StreamBatch((one, other._replace(prompt_ids=(5,))), 4, 2)})
        True
    """
    examples = [example for batch in batches.values() for example in batch.examples]
    inputs = [len(_inputs(example, keep_last)) for example in examples]
    widths = [len(e.prompt_ids) + n for e, n in zip(examples, inputs, strict=True)]
    packed = sum(inputs) + sum(len(prompt) for prompt in {e.prompt_ids for e in examples})
    return packed < len(widths) * max(widths, default=0)


def row_lengths(batch: Batch) -> list[int]:
    """Inputs of each response with its prompt, in tokens."""
    return [len(e.prompt_ids) + len(_inputs(e, batch.keep_last)) for e in batch.examples]


def part_of(batch: Batch, rows: Sequence[int]) -> tuple[Batch, Tensor]:
    """Some of a batch's responses in a batch of their own, and the tokens that they had in it.

    Example:
        >>> both = Example((5,), (7, 8), 0, "a:1"), Example((6,), (4,), 1, "a:2")
        >>> part, tokens = part_of(pack({"forget": StreamBatch(both, 3, 2)}), [1])
        >>> part.input_ids.tolist(), tokens.tolist()
        ([[6]], [2])
    """
    examples = tuple(batch.examples[row] for row in rows)
    layout: Layout = "rows" if batch.attention is None else "packed"
    part = pack({"part": StreamBatch(examples, 1, 1)}, layout, batch.keep_last)
    ends = list(accumulate(len(e.response_ids) for e in batch.examples))
    tokens = [
        token
        for row in rows
        for token in range(ends[row] - len(batch.examples[row].response_ids), ends[row])
    ]
    device = batch.source.device
    return part.to(device), torch.tensor(tokens, dtype=torch.long, device=device)


_Laid = tuple[dict[str, Any], AttentionPlan | None, list[tuple[int, int]]]


def _inputs(example: Example, keep_last: bool) -> tuple[int, ...]:
    return example.response_ids if keep_last else example.response_ids[:-1]


def _lay_packed(examples: list[Example], keep_last: bool) -> _Laid:
    given = [_inputs(example, keep_last) for example in examples]
    by_prompt: dict[tuple[int, ...], list[int]] = {}
    for index, example in enumerate(examples):
        by_prompt.setdefault(example.prompt_ids, []).append(index)
    # Prompts, each with its response where it has one alone, then the other responses; those of
    # one size follow each other, since they share a call of attention.
    stems: list[_Stem] = []
    for prompt, members in by_prompt.items():
        fed = [index for index in members if given[index]]
        stems.append(_Stem(prompt, given[fed[0]] if len(fed) == 1 else (), fed, members))
    stems.sort(key=lambda stem: len(stem.prompt) + len(stem.tail))
    ids: list[int] = []
    positions: list[int] = []
    spans: list[tuple[int, int]] = [(0, 0)] * len(examples)
    branches: list[tuple[int, _Stem]] = []
    for stem in stems:
        end = len(ids) + len(stem.prompt)
        for index in stem.members:
            spans[index] = (end - 1, end)
        ids += stem.prompt + stem.tail
        positions += range(len(stem.prompt) + len(stem.tail))
        branches += [(index, stem) for index in stem.fed if not stem.tail]
    branches.sort(key=lambda branch: (len(given[branch[0]]), len(branch[1].prompt)))
    for index, stem in branches:
        spans[index] = (spans[index][0], len(ids))
        ids += given[index]
        positions += range(len(stem.prompt), len(stem.prompt) + len(given[index]))
    trees: list[Tree] = []
    for stem in stems:
        end = spans[stem.members[0]][0] + 1
        starts = [(spans[index][1], len(given[index])) for index in stem.fed]
        responses = tuple((start, start + length) for start, length in starts)
        trees.append(Tree((end - len(stem.prompt), end), responses))
    if not ids:
        ids, positions, trees = [0], [0], [Tree((0, 1), ())]
    tensors = {
        "input_ids": torch.tensor([ids], dtype=torch.long),
        "position_ids": torch.tensor([positions], dtype=torch.long),
        "attention_mask": None,
    }
    return tensors, plan_attention(trees), spans


class _Stem(NamedTuple):
    """A prompt in the packed row, and the responses to it by their numbers."""

    prompt: tuple[int, ...]
    tail: tuple[int, ...]
    """Inputs of its response where one alone has any."""
    fed: list[int]
    """Responses with inputs."""
    members: list[int]


def _lay_rows(examples: list[Example], keep_last: bool) -> _Laid:
    rows = [(*e.prompt_ids, *_inputs(e, keep_last)) for e in examples] or [(0,)]
    width = max(map(len, rows))
    # The fill is hidden by the mask and never a target, so any id will do.
    tensors = {
        "input_ids": torch.tensor([(*row, *[0] * (width - len(row))) for row in rows]),
        "position_ids": torch.arange(width).expand(len(rows), width).contiguous(),
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows]),
    }
    spans = [
        (index * width + len(e.prompt_ids) - 1, index * width + len(e.prompt_ids))
        for index, e in enumerate(examples)
    ]
    return tensors, None, spans
