"""The batches of a micro-batch, in one block of memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Protocol

import torch
from torch import Tensor

from unlearnkit.data.pack import Batch
from unlearnkit.errors import RecipeError

_ALIGNED = 8
"""Bytes at whose multiples tensors begin, so that numbers of any type may lie there."""


class Parts:
    """The batches of a micro-batch, which are run in turn.

    Their tensors are views of one block, which is pinned by a loader and goes to a device by one
    copy that the host does not wait for. Lightning looks at no tensor in them.

    Example:
        >>> from unlearnkit.data.pack import pack
        >>> parts = Parts([pack({}), pack({})])
        >>> parts[1].input_ids
        tensor([[0]])
    """

    def __init__(self, batches: Sequence[Batch]) -> None:
        sizes: list[int] = []
        for each in batches:
            each.mapped(lambda t: sizes.append(-(-t.nbytes // _ALIGNED) * _ALIGNED) or t)
        self._starts = [0, *accumulate(sizes)]
        self._memory = torch.empty(self._starts[-1], dtype=torch.uint8)
        whole = _placed(batches, self._memory, self._starts)
        for one, other in zip(batches, whole, strict=True):
            tensors: list[Tensor] = []
            other.mapped(lambda t, to=tensors: to.append(t) or t)
            left = iter(tensors)
            one.mapped(lambda t, left=left: next(left).copy_(t))
        self.batches = whole

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> Batch:
        return self.batches[index]

    def to(self, device: torch.device | str) -> Parts:
        """The batches on a device; the host goes on while they are copied."""
        return self._over(self._memory.to(device, non_blocking=True))

    def pin_memory(self) -> Parts:
        """The batches in memory that a device reads by itself; a loader calls this."""
        return self._over(self._memory.pin_memory())

    def _over(self, memory: Tensor) -> Parts:
        if memory is self._memory:
            return self
        moved = object.__new__(type(self))
        moved.__dict__ |= self.__dict__
        moved._memory = memory
        moved.batches = _placed(self.batches, memory, self._starts)
        return moved


class MicroBatches(Protocol):
    """What `UnlearningModule` asks of a data module or a loader that is not ours.

    It gives a `Parts` for each micro-batch: ``module.packer.collate({"forget": rows, ...})``, with
    a `StreamBatch` of rows for each stream that an objective reads. ``module.packer`` is there
    once Lightning asks for the loader.
    """

    def __iter__(self) -> Iterator[Parts]:
        """The micro-batches of an epoch."""
        ...

    def __len__(self) -> int:
        """Micro-batches of an epoch."""
        ...


def parts_of(batch: object) -> Parts:
    """What a loader gave.

    Raises:
        RecipeError: If it is no `Parts`, with what makes one.
    """
    if isinstance(batch, Parts):
        return batch
    raise RecipeError(
        f"the data module gave a {type(batch).__name__}, expected Parts of rows packed by stream",
        hint="Take UnlearningDataModule, whose streams may be rows in memory; or have the own "
        "loader give module.packer.collate({'forget': StreamBatch(examples, tokens, sequences)}).",
    )


def _placed(batches: Sequence[Batch], memory: Tensor, starts: Sequence[int]) -> list[Batch]:
    """The batches with their tensors as views of a block, of the same types and shapes."""
    left = iter(starts)

    def place(tensor: Tensor) -> Tensor:
        start = next(left)
        return memory[start : start + tensor.nbytes].view(tensor.dtype).view(tensor.shape)

    return [each.mapped(place) for each in batches]
