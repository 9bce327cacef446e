"""A step of any size in a fixed memory: forward and backward one micro-batch after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from unlearnkit.data.example import Example
from unlearnkit.data.pack import Batch, Layout
from unlearnkit.data.sampler import StreamBatch


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
    size, trees = _packed_size, list(by_prompt.values())
    if layout == "rows":
        size = _padded_size
        trees.sort(key=_width)
    parts: list[list[_Tree]] = []
    for tree in trees:
        if not parts or size([*parts[-1], tree]) > max_tokens:
            parts.append([])
        parts[-1].append(tree)
    return [_regroup(part, batches) for part in parts or [[]]]


def accumulated(
    loss_of: Callable[[Batch], Tensor], batches: Sequence[Batch], parameters: Iterable[nn.Parameter]
) -> Tensor:
    """The sum of the batches' losses, with only one batch's activations in memory at a time.

    Each batch is run forward and backward in turn; the sum carries the summed gradients, and
    hands them on in its own backward pass, so that to autograd (and to Lightning, DDP hooks,
    accumulation) it is a loss like any other.

    Args:
        loss_of: The loss of one batch.
        batches: The parts of a step.
        parameters: Those that the loss depends on.

    Returns:
        A scalar.
    """
    trained = [p for p in parameters if p.requires_grad]
    if len(batches) == 1 or not torch.is_grad_enabled():
        return torch.stack([loss_of(batch) for batch in batches]).sum()
    return _Accumulated.apply(loss_of, batches, *trained)  # pyright: ignore


class _Accumulated(Function):
    @staticmethod
    def forward(
        ctx: Any, loss_of: Callable[[Batch], Tensor], batches: Sequence[Batch], *trained: Tensor
    ) -> Tensor:
        ctx.sums = _Sums(trained)
        losses: list[Tensor] = []
        for batch in batches:
            with torch.enable_grad(), ctx.sums:
                loss = loss_of(batch)
                torch.autograd.grad(loss, trained, allow_unused=True)
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        (upstream,) = grad_outputs
        return None, None, *(None if g is None else g.mul_(upstream) for g in ctx.sums.given_up())


class _Sums:
    """Gradients that are added up one parameter at a time, within the context.

    The gradient of a part is never whole in memory. Hooks of DDP belong to the accumulation into
    ``.grad``, which happens once, when the sums are handed on.
    """

    def __init__(self, trained: Sequence[Tensor]) -> None:
        self._trained = trained
        # All at once: taken in turn with the gradients, they would leave holes in the C heap.
        self._sums = [torch.empty_like(parameter) for parameter in trained]
        self._found = [False] * len(trained)
        self._hooks = ExitStack()

    def __enter__(self) -> None:
        for index, parameter in enumerate(self._trained):
            handle = parameter.register_hook(partial(self._add, index))
            self._hooks.callback(handle.remove)

    def __exit__(self, *_: object) -> None:
        self._hooks.close()

    def _add(self, index: int, gradient: Tensor) -> Tensor:
        if self._found[index]:
            self._sums[index].add_(gradient)
        else:
            self._sums[index].copy_(gradient)
            self._found[index] = True
        return gradient.new_zeros(()).expand_as(gradient)  # what `grad` gives back, without memory

    def given_up(self) -> list[Tensor | None]:
        """The sums, of which nothing is kept, so that they can become ``.grad`` as they are."""
        sums, self._sums = self._sums, []
        return [s if found else None for s, found in zip(sums, self._found, strict=True)]


_Tree = list[tuple[str, Example]]
"""Sequences with one prompt, and the streams they are of."""


def _packed_size(trees: Sequence[_Tree]) -> int:
    return sum(
        len(tree[0][1].prompt_ids) + sum(len(e.response_ids) for _, e in tree) for tree in trees
    )


def _padded_size(trees: Sequence[_Tree]) -> int:
    return sum(map(len, trees)) * max(map(_width, trees))


def _width(tree: _Tree) -> int:
    return max(len(e.prompt_ids) + len(e.response_ids) for _, e in tree)


def _regroup(part: Sequence[_Tree], batches: Mapping[str, StreamBatch]) -> dict[str, StreamBatch]:
    members = [member for tree in part for member in tree]
    return {
        name: batch._replace(examples=tuple(e for owner, e in members if owner == name))
        for name, batch in batches.items()
    }
