"""Splits a step into parts that run in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.distributed.tensor import DTensor

from unlearnkit.data.pack import Batch
from unlearnkit.engine.training.fsdp2 import let_go


def accumulated(
    loss_of: Callable[[Batch], Tensor], batches: Sequence[Batch], model: nn.Module
) -> Tensor:
    """The sum of the batches' losses, with only one batch's activations in memory at a time.

    Each batch is run forward and backward in turn; the sum carries the summed gradients, and
    hands them on in its own backward pass, so that to autograd (and to Lightning, DDP hooks,
    accumulation) it is a loss like any other. Gradients of sharded parameters are spread over the
    processes after each batch, so that no process keeps them whole.

    Args:
        loss_of: The loss of one batch.
        batches: The parts of a step, as many on each process where parameters are sharded.
        model: Its parameters are what the loss depends on.

    Returns:
        A scalar.
    """
    if len(batches) == 1 or not torch.is_grad_enabled():
        return torch.stack([loss_of(batch) for batch in batches]).sum()
    let_go(model)  # an evaluation leaves weights gathered, which are not those that are trained
    trained = [p for p in model.parameters() if p.requires_grad]
    return _Accumulated.apply(loss_of, batches, *trained)  # pyright: ignore


class _Accumulated(Function):
    @staticmethod
    def forward(
        ctx: Any, loss_of: Callable[[Batch], Tensor], batches: Sequence[Batch], *trained: Tensor
    ) -> Tensor:
        sharded = any(isinstance(parameter, DTensor) for parameter in trained)
        ctx.sums = (ShardedSums if sharded else Sums)(trained)
        losses: list[Tensor] = []
        for batch in batches:
            with torch.enable_grad(), ctx.sums:
                loss = loss_of(batch)
                ctx.sums.descend(loss)
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        (upstream,) = grad_outputs
        return None, None, *(_scaled(each, upstream) for each in ctx.sums.given_up())


def _scaled(gradient: Tensor | None, factor: Tensor) -> Tensor | None:
    if gradient is not None:
        (gradient.to_local() if isinstance(gradient, DTensor) else gradient).mul_(factor)
    return gradient


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

    def descend(self, loss: Tensor) -> None:
        """The backward pass of one part, within the context."""
        torch.autograd.grad(loss, self._trained, allow_unused=True)

    def given_up(self) -> list[Tensor | None]:
        """The sums, of which nothing is kept, so that they can become ``.grad`` as they are."""
        sums, self._sums = self._sums, []
        return [s if found else None for s, found in zip(sums, self._found, strict=True)]


class ShardedSums:
    """The same of parameters that FSDP2 shards, whose gradients exist nowhere but in ``.grad``.

    A pass runs on gathered weights; its end adds each process's slice to the sharded parameter's
    ``.grad``. What earlier micro-batches have there is put aside meanwhile.
    """

    def __init__(self, trained: Sequence[Tensor]) -> None:
        self._trained = trained
        self._sums: list[Tensor | None] = [None] * len(trained)

    def __enter__(self) -> None:
        self._exchange()

    def __exit__(self, *_: object) -> None:
        self._exchange()

    def _exchange(self) -> None:
        for index, parameter in enumerate(self._trained):
            self._sums[index], parameter.grad = parameter.grad, self._sums[index]

    def descend(self, loss: Tensor) -> None:
        """The backward pass of one part, within the context."""
        loss.backward()

    def given_up(self) -> list[Tensor | None]:
        """The sums, of which nothing is kept."""
        sums, self._sums = self._sums, []
        return sums
