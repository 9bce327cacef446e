"""Splits a step into parts that run in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from unlearnkit.data.pack import Batch


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
        parameters: Parameters that the loss depends on.

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
        ctx.sums = Sums(trained)
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


class Sums:
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

    def _add(self, index: int, gradient: Tensor | None) -> Tensor | None:
        if gradient is None:  # of a part without response tokens
            return None
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
