"""Packing of whole micro-batches, in the loader's process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from unlearnkit.data.example import Example
from unlearnkit.data.pack import Batch, Layout, pack, spares
from unlearnkit.data.parts import Parts
from unlearnkit.data.sampler import StreamBatch, StreamBatches


@dataclass(frozen=True)
class Packer:
    """Joins the rows of a micro-batch as a model takes them; it travels to loader processes.

    Args:
        layout: ``packed``, ``rows``, or ``auto``: packed where that spares tokens.
        read: Streams that an objective reads; rows of others are left out.
        referred: Those of them whose reference values an objective reads.
        keep_last: Feed each response's last token too, for objectives on hidden states.
        max_tokens: Most tokens of a part, of which there are several if the rows have more.
        stored: Reads reference values that are kept on disk.
        apart: Groups of streams that are to have parts of their own; a stream may be in several.

    Example:
        >>> rows = StreamBatch((Example((5, 6), (7, 8), 0, "a:1"),), 2, 1)
        >>> (batch,) = Packer("packed", frozenset({"forget"}))({"forget": rows, "other": rows})
        >>> batch.input_ids.tolist(), list(batch.streams)
        ([[5, 6, 7]], ['forget'])
    """

    layout: Layout | Literal["auto"]
    read: frozenset[str]
    referred: frozenset[str] = frozenset()
    keep_last: bool = False
    max_tokens: int | None = None
    stored: Callable[[Batch], Mapping[str, Tensor]] | None = None
    apart: tuple[frozenset[str], ...] = ()

    def __call__(self, batches: StreamBatches) -> list[Batch]:
        """One batch, or several that are to be run in turn."""
        packed: list[Batch] = []
        for group in self.apart or (self.read,):
            read = {name: rows for name, rows in batches.items() if name in group}
            limit = self.max_tokens
            packs: Layout = "rows" if self.layout == "rows" else "packed"
            parts = [read] if limit is None else split(read, limit, packs)
            packed += map(self._packed, parts)
        return packed

    def collate(self, batches: StreamBatches) -> Parts:
        """The same, as a loader gives them."""
        return Parts(self(batches))

    def _packed(self, rows: StreamBatches) -> Batch:
        batch = self._laid(rows)
        referred = {name: rows[name] for name in rows if name in self.referred}
        if not referred:
            return batch
        if referred.keys() == rows.keys():
            return self._with_stored(batch)
        return replace(batch, reference=self._with_stored(self._laid(referred)))

    def _laid(self, rows: StreamBatches) -> Batch:
        layout = self.layout
        if layout == "auto":
            layout = "packed" if spares(rows, self.keep_last) else "rows"
        return pack(rows, layout, self.keep_last)

    def _with_stored(self, batch: Batch) -> Batch:
        return replace(batch, stored=self.stored(batch)) if self.stored else batch


def split(
    batches: Mapping[str, StreamBatch], max_tokens: int, layout: Layout = "packed"
) -> list[dict[str, StreamBatch]]:
    """Cuts a step between its trees, so that each part has at most ``max_tokens`` tokens.

    Rows with equal prompts stay together, whatever their streams. The shares stay those of the
    whole, so the parts' losses add up to that of the step. A tree larger than the budget is a
    part of its own. In the layout ``rows`` padding counts, and rows of like length share a part.

    Example:
        >>> examples = (Example((5,), (7, 8), 0, "a:1"), Example((6,), (7,), 1, "a:2"))
        >>> parts = split({"forget": StreamBatch(examples, 3, 2)}, max_tokens=3)
        >>> [len(part["forget"].examples) for part in parts]
        [1, 1]
    """
    by_prompt: dict[tuple[int, ...], _Tree] = {}
    for name, batch in batches.items():
        for example in batch.examples:
            by_prompt.setdefault(example.prompt_ids, []).append((name, example))
    trees = list(by_prompt.values())
    if layout == "rows":
        trees.sort(key=_width)
    parts: list[list[_Tree]] = []
    rows = tokens = 0
    for tree in trees:
        rows, tokens = rows + len(tree), tokens + _packed_size(tree)
        # In rows the trees ascend, so the last one is the widest.
        size = tokens if layout == "packed" else rows * _width(tree)
        if not parts or size > max_tokens:
            parts.append([])
            rows, tokens = len(tree), _packed_size(tree)
        parts[-1].append(tree)
    return [_regroup(part, batches) for part in parts or [[]]]


_Tree = list[tuple[str, Example]]
"""Sequences with one prompt, and the streams they are of."""


def _packed_size(tree: _Tree) -> int:
    return len(tree[0][1].prompt_ids) + sum(len(e.response_ids) for _, e in tree)


def _width(tree: _Tree) -> int:
    return max(len(e.prompt_ids) + len(e.response_ids) for _, e in tree)


def _regroup(part: Sequence[_Tree], batches: Mapping[str, StreamBatch]) -> dict[str, StreamBatch]:
    members = [member for tree in part for member in tree]
    return {
        name: batch._replace(examples=tuple(e for owner, e in members if owner == name))
        for name, batch in batches.items()
    }
