"""The contract of `Objective`, as checks."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from unlearnkit.objectives.base import NEEDS, Objective
from unlearnkit.testing.sources import LENGTHS, Rows

_CLOSE = 1e-5


def check_objective(
    objective: Objective, *, policy: nn.Module | None = None, seed: int = 0
) -> None:
    """Checks that an objective keeps the contract of `Objective`.

    That is: its loss is a finite scalar with a finite gradient; it does not contain the weight;
    it does not depend on the order of rows; one sequence of one token is enough; the losses of
    micro-batches have the loss of the whole step as their mean (unless ``additive = False``); and
    ``needs`` names what it reads, no more and no less.

    Args:
        objective: What is checked; it is copied, not changed.
        policy: A model to attach, for an objective that reads parameters.
        seed: Draws the logits.

    Raises:
        AssertionError: With a sentence that says what is wrong.

    Example:
        >>> from unlearnkit.objectives import GradientAscent
        >>> check_objective(GradientAscent())
    """
    name = type(objective).__name__
    _require(objective.weight >= 0, f"{name}: the weight is negative; the sign belongs in forward")
    _require(objective.needs <= NEEDS, f"{name}: needs may hold {sorted(NEEDS)} only")
    if not objective.streams:
        _check_on_parameters(objective, policy, name)
        return
    step = {stream: Rows.draw(seed + k) for k, stream in enumerate(objective.streams)}
    loss, gradients = _evaluate(objective, step, policy)
    _require(loss.shape == (), f"{name}: forward returns shape {tuple(loss.shape)}, not a scalar")
    _require(bool(loss.isfinite()), f"{name}: the loss is {loss.item()}")
    _require(
        any(bool(g.any()) for g in gradients), f"{name}: the loss has no gradient in the policy"
    )
    _require(all(bool(g.isfinite().all()) for g in gradients), f"{name}: a gradient is not finite")
    _check_weight(objective, step, policy, loss, name)
    _check_order(objective, step, policy, loss, name)
    _check_smallest(objective, policy, seed, name)
    if objective.additive:
        _check_parts(objective, step, policy, loss, gradients, name)
    _check_needs(objective, step, policy, name)


def _evaluate(
    objective: Objective,
    step: Mapping[str, Rows],
    policy: nn.Module | None,
    whole: Mapping[str, Rows] | None = None,
    parts: int = 1,
) -> tuple[Tensor, list[Tensor]]:
    """Loss, and its gradient in each stream's logits and hidden states."""
    objective = copy.deepcopy(objective)
    if policy is not None:
        objective.attach(policy)
    leaves: list[Tensor] = []
    for rows in step.values():
        rows.logits, rows.hidden = (x.detach().requires_grad_() for x in (rows.logits, rows.hidden))
        leaves += [rows.logits, rows.hidden]
    views = {
        name: rows.view(whole=whole[name] if whole else None, parts=parts)
        for name, rows in step.items()
    }
    loss = objective(views)
    _require(
        isinstance(loss, Tensor) and loss.requires_grad,
        f"{type(objective).__name__}: the loss is not a tensor with a gradient",
    )
    gradients = torch.autograd.grad(loss.sum(), leaves, allow_unused=True)
    return loss.detach(), [
        torch.zeros_like(leaf) if g is None else g
        for leaf, g in zip(leaves, gradients, strict=True)
    ]


def _check_weight(
    objective: Objective,
    step: Mapping[str, Rows],
    policy: nn.Module | None,
    loss: Tensor,
    name: str,
) -> None:
    heavier = copy.deepcopy(objective)
    heavier.weight = 2 * objective.weight + 1
    again, _ = _evaluate(heavier, step, policy)
    _require(_close(again, loss), f"{name}: forward applies the weight; the module does that")


def _check_order(
    objective: Objective,
    step: Mapping[str, Rows],
    policy: nn.Module | None,
    loss: Tensor,
    name: str,
) -> None:
    backwards = {k: r.take(range(len(r.lengths))[::-1]) for k, r in step.items()}
    again, _ = _evaluate(objective, backwards, policy)
    _require(
        _close(again, loss),
        f"{name}: the loss depends on the order of rows ({loss.item():.6g}, reversed "
        f"{again.item():.6g})",
    )


def _check_smallest(objective: Objective, policy: nn.Module | None, seed: int, name: str) -> None:
    step = {s: Rows.draw(seed + k, lengths=(1,)) for k, s in enumerate(objective.streams)}
    loss, gradients = _evaluate(objective, step, policy)
    _require(
        bool(loss.isfinite()) and all(bool(g.isfinite().all()) for g in gradients),
        f"{name}: the loss of one sequence of one token, or its gradient, is not finite",
    )


def _check_parts(
    objective: Objective,
    step: Mapping[str, Rows],
    policy: nn.Module | None,
    loss: Tensor,
    gradients: list[Tensor],
    name: str,
) -> None:
    places = range(len(LENGTHS))
    halves = [{k: r.take(part) for k, r in step.items()} for part in (places[:1], places[1:])]
    # The last step of an epoch may have two micro-batches where others have four, by which the
    # trainer divides; a constant would not come out of that.
    results = [_evaluate(objective, half, policy, step, parts=4) for half in halves]
    mean = torch.stack([part for part, _ in results]).sum() / 4
    joined = [
        torch.cat([first, second]) / 4
        for first, second in zip(results[0][1], results[1][1], strict=True)
    ]
    _require(
        _close(mean, loss) and all(map(_close, joined, gradients)),
        f"{name}: the losses of two micro-batches have the mean {mean.item():.6g}, the whole step "
        f"has {loss.item():.6g}: average with view.mean or view.sequence_mean, or set "
        "additive = False",
    )


def _check_needs(
    objective: Objective, step: Mapping[str, Rows], policy: nn.Module | None, name: str
) -> None:
    objective = copy.deepcopy(objective)
    if policy is not None:
        objective.attach(policy)
    views = {k: rows.view() for k, rows in step.items()}
    objective(views)
    read: set[str] = set()
    for view in views.values():
        of_policy, of_reference = view._policy.read, view._reference.read  # pyright: ignore
        read |= of_policy | of_reference | ({"reference"} if of_reference else set())
    read &= NEEDS
    _require(
        read == objective.needs,
        f"{name}: reads {sorted(read)}, but needs = {sorted(objective.needs)}",
    )
    if "hidden" in read:
        _require(bool(objective.layers), f"{name}: needs hidden, but layers names no block")


def _check_on_parameters(objective: Objective, policy: nn.Module | None, name: str) -> None:
    _require(policy is not None, f"{name}: reads no stream, so give check_objective a policy")
    assert policy is not None
    objective = copy.deepcopy(objective)
    objective.attach(policy)
    trained = [p for p in policy.parameters() if p.requires_grad]
    loss = objective({})
    _require(loss.shape == (), f"{name}: forward returns shape {tuple(loss.shape)}, not a scalar")
    _require(bool(loss.isfinite()), f"{name}: the loss is {loss.item()}")
    gradients = torch.autograd.grad(loss, trained, allow_unused=True)
    _require(
        any(g is not None for g in gradients), f"{name}: the loss has no gradient in the policy"
    )
    _require(
        all(g is None or bool(g.isfinite().all()) for g in gradients),
        f"{name}: a gradient is not finite",
    )


def _close(a: Tensor, b: Tensor) -> bool:
    return torch.allclose(a, b, rtol=_CLOSE, atol=_CLOSE)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)
