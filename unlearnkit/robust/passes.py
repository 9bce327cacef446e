"""Passes over the forget terms of a step, at any weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.autograd import Function

from unlearnkit.engine.step.micro_batches import Sums
from unlearnkit.engine.step.perturbation import Perturbation
from unlearnkit.errors import RecipeError

LossOf = Callable[[int, bool], Tensor]
"""Loss of a part of the step by its number, and whether it is the first pass over it."""
Perturb = Callable[[Sequence[int] | None], AbstractContextManager[Perturbation]]
"""Within the context, what is added to states of the forget rows in the decoder blocks given."""


class Gradients(list[Tensor | None]):
    """Gradients of the trained parameters, in their order; None where a loss has none."""

    def scaled(self, factor: float | Tensor) -> Gradients:
        """All times a factor, in place."""
        for each in self:
            if each is not None:
                each.mul_(factor)
        return self

    def added(self, others: Gradients, factor: float | Tensor = 1.0) -> Gradients:
        """These and others times a factor, in place."""
        for index, other in enumerate(others):
            if other is not None:
                mine, more = self[index], other * factor
                self[index] = more if mine is None else mine.add_(more)
        return self

    def dot(self, others: Gradients) -> Tensor:
        """Scalar product over all parameters together, float32."""
        pairs = zip(self, others, strict=True)
        products = [
            (a.float() * b.float()).sum() for a, b in pairs if a is not None and b is not None
        ]
        return torch.stack(products).sum() if products else torch.zeros(())

    def norm(self) -> Tensor:
        """Euclidean norm over all parameters together, float32."""
        return self.dot(self).sqrt()


class Passes:
    """Runs the forget terms of one step.

    Args:
        trained: The parameters.
        loss_of: Loss of a part, with its graph.
        forget: Numbers of the parts with forget rows.
        rest: Numbers of the others.
        step: Optimiser steps before this one.
        relearn: Loss by which a part's forget rows are learned again.
        perturbed: Adds vectors to states of the forget rows, in the decoder blocks of these
            numbers or, without any, in the block at three eighths of the depth.
    """

    def __init__(
        self,
        trained: Sequence[nn.Parameter],
        loss_of: LossOf,
        forget: Sequence[int],
        rest: Sequence[int],
        step: int,
        perturbed: Perturb | None = None,
        relearn: Callable[[int], Tensor] | None = None,
    ) -> None:
        self.trained, self.step = list(trained), step
        self._perturbed, self._relearn = perturbed, relearn
        self._loss_of, self._parts = loss_of, {True: forget, False: rest}
        self.losses: dict[int, Tensor] = {}
        """Loss of each part, of the first pass over it."""

    def forget(self) -> Gradients:
        """Gradient of the forget terms on this process's rows, at the weights of this moment."""
        return self._run(True)

    def rest(self) -> Gradients:
        """Gradient of all other terms on this process's rows, at the weights of this moment."""
        return self._run(False)

    def relearn(self) -> Gradients:
        """Gradient by which an attacker learns the forget rows of this process again."""
        relearn = self._relearn
        assert relearn is not None, "these passes have no rows to relearn"
        return self._summed(self._parts[True], relearn)

    @contextmanager
    def perturbed(self, blocks: Sequence[int] | None) -> Iterator[Perturbation]:
        """Within the context, vectors are added to the states of the forget rows.

        Args:
            blocks: Numbers of the decoder blocks, from 0; by default the one at three eighths of
                the depth.
        """
        assert self._perturbed is not None, "these passes run no decoder blocks"
        with self._perturbed(blocks) as perturbation:
            yield perturbation

    def slopes(self, perturbation: Perturbation) -> list[Tensor]:
        """Gradients of the forget terms by the vectors of a perturbation, as they are listed."""
        found: list[Tensor] = []
        for part in self._parts[True]:
            with torch.enable_grad():
                loss = self._loss_of(part, part not in self.losses)
                vectors = perturbation.vectors
                slopes = torch.autograd.grad(loss, vectors, allow_unused=True)
            self.losses.setdefault(part, loss.detach())
            for index, (vector, slope) in enumerate(zip(vectors, slopes, strict=True)):
                if index == len(found):
                    found.append(torch.zeros_like(vector))
                if slope is not None:
                    found[index] += slope
        return found

    def shared(self, gradients: Gradients) -> Gradients:
        """Gradients averaged over all processes, in place: what a single process would find."""
        if dist.is_available() and dist.is_initialized():
            for index, parameter in enumerate(self.trained):
                mine = gradients[index]
                whole = torch.zeros_like(parameter) if mine is None else mine.contiguous()
                dist.all_reduce(whole)
                gradients[index] = whole.div_(dist.get_world_size())
        return gradients

    @contextmanager
    def moved(self, by: Gradients) -> Iterator[None]:
        """Within the context the weights are moved; after it they are bit by bit what they were.

        Args:
            by: What is added to the weights. Holds the weights as they were meanwhile.

        Raises:
            RecipeError: If the weights are of half precision, and too coarse to move so little.
        """
        asked: list[Tensor] = []
        done: list[Tensor] = []
        with torch.no_grad():
            for parameter, change in zip(self.trained, by, strict=True):
                if change is not None:
                    before = parameter.clone()
                    parameter.add_(change)
                    if parameter.element_size() < 4:
                        asked.append(change.float().square().sum())
                        done.append((parameter.float() - before.float()).square().sum())
                    change.copy_(before)
        try:
            if asked:
                _refuse_coarse(asked, done, self.trained)
            yield
        finally:
            with torch.no_grad():
                for parameter, before in zip(self.trained, by, strict=True):
                    if before is not None:
                        parameter.copy_(before)

    def _run(self, forget: bool) -> Gradients:
        def loss_of(part: int) -> Tensor:
            loss = self._loss_of(part, part not in self.losses)
            self.losses.setdefault(part, loss.detach())
            return loss

        return self._summed(self._parts[forget], loss_of)

    def _summed(self, parts: Sequence[int], loss_of: Callable[[int], Tensor]) -> Gradients:
        sums = Sums(self.trained)
        for part in parts:
            with torch.enable_grad(), sums:
                torch.autograd.grad(loss_of(part), self.trained, allow_unused=True)
        return Gradients(sums.given_up())


def _refuse_coarse(
    asked: Sequence[Tensor], done: Sequence[Tensor], trained: Sequence[nn.Parameter]
) -> None:
    length, reached = (float(torch.stack([*each]).sum().sqrt()) for each in (asked, done))
    if reached < length / 2:
        dtypes = sorted({str(p.dtype).removeprefix("torch.") for p in trained})
        raise RecipeError(
            f"model.robust: weights of {' and '.join(dtypes)} are too coarse: a move of "
            f"{length:.2g} moved them by {reached:.2g}",
            hint="Train in float32 (trainer.precision: bf16-mixed, model.base.dtype: float32), or "
            "set a larger radius.",
        )


def assembled(passes: Passes, gradient: Callable[[Passes], Gradients]) -> Tensor:
    """The step's loss, whose backward pass hands on a robust gradient.

    To autograd, DDP and Lightning it is a loss like any other. Its value is that of the
    first passes.

    Args:
        passes: Runs the terms.
        gradient: Gives the gradient of the step.
    """
    return _Robust.apply(passes, gradient, *passes.trained)  # pyright: ignore


class _Robust(Function):
    @staticmethod
    def forward(
        ctx: Any, passes: Passes, gradient: Callable[[Passes], Gradients], *trained: Tensor
    ) -> Tensor:
        ctx.found = gradient(passes)
        return torch.stack(list(passes.losses.values())).sum()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor | None, ...]:
        (upstream,) = grad_outputs
        found, ctx.found = ctx.found, Gradients()
        return None, None, *found.scaled(upstream)
