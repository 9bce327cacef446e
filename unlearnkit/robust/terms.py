"""Forget terms of a module, and the loss by a robust method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from unlearnkit.data.pack import Batch
from unlearnkit.engine.step.forward import decoder_blocks
from unlearnkit.engine.step.perturbation import Perturbation
from unlearnkit.errors import RecipeError
from unlearnkit.objectives.base import Objective
from unlearnkit.robust.base import Robust
from unlearnkit.robust.passes import Passes, assembled


def chosen_method(
    given: Robust | Sequence[Robust] | None, active: Mapping[str, Objective]
) -> Robust | None:
    """The method that was asked for.

    Args:
        given: One method, or a list of at most one, as a recipe holds it.
        active: The objectives.

    Raises:
        RecipeError: If there are several, no objective is a forget term, or one that is keeps a
            state, which a second pass would count twice.
    """
    methods = [given] if isinstance(given, Robust) else list(given or ())
    if len(methods) > 1:
        raise RecipeError(
            f"model.robust: {' and '.join(each.label for each in methods)} each take the forget "
            "gradient in their own way",
            hint="Give one of them.",
        )
    if not methods:
        return None
    (method,) = methods
    terms = forget_terms(method, active)
    if not terms:
        raise RecipeError(
            f"model.robust: {method.label}: no objective with a weight above 0 reads "
            f"{' or '.join(map(repr, method.streams))}",
            hint="Set model.robust.streams to the streams whose objectives are the forget terms.",
        )
    if method.needs_rest and len(terms) == len(active):
        raise RecipeError(
            f"model.robust: {method.label} projects by the gradient of the other objectives, and "
            "there are none",
            hint="Add one on retain rows, such as retain: {name: retain_nll}.",
        )
    for key in terms:
        if type(active[key]).after_step is not Objective.after_step:
            raise RecipeError(
                f"model.robust: {method.label} runs the objective '{key}' more than once a step, "
                f"and {active[key].registered_name} keeps a state that would count it twice",
                hint="Take another objective, or leave model.robust out.",
            )
    return method


def forget_terms(method: Robust, active: Mapping[str, Objective]) -> list[str]:
    """Names of the objectives that read one of the method's streams."""
    return [key for key, each in active.items() if set(method.streams) & set(each.streams)]


def groups(method: Robust | None, active: Mapping[str, Objective]) -> tuple[frozenset[str], ...]:
    """Streams of the forget terms and streams of the others, which are run apart.

    Example:
        >>> from unlearnkit.objectives import NPO, RetainNLL
        >>> from unlearnkit.robust import SAM
        >>> active = {"a": NPO(), "b": RetainNLL()}
        >>> [sorted(each) for each in groups(SAM(), active)], groups(None, active)
        ([['forget'], ['retain']], ())
    """
    if method is None:
        return ()
    forget = forget_terms(method, active)
    sides = (forget, [key for key in active if key not in forget])
    return tuple(
        frozenset(s for key in side for s in active[key].streams) for side in sides if side
    )


def robust_loss(module: Any, method: Robust, batches: Sequence[Batch], share: float) -> Tensor:
    """The loss of a step, whose backward pass hands on the method's gradient.

    Args:
        module: An `UnlearningModule`.
        method: Takes the gradient of the forget terms.
        batches: The step's parts; none holds rows of a forget stream and terms of the rest.
        share: Part of their value that objectives without rows give.
    """
    forget = forget_terms(method, module.active)
    rest = [key for key in module.active if key not in forget]
    is_forget = [not set(method.streams).isdisjoint(batch.streams) for batch in batches]
    ours = [part for part, yes in enumerate(is_forget) if yes]
    others = [part for part, yes in enumerate(is_forget) if not yes]

    def loss_of(part: int, first: bool) -> Tensor:
        names = forget if is_forget[part] else rest
        return module.loss_of_part(
            batches[part], share / max(len(others), 1), names, again=not first
        )

    def relearn(part: int) -> Tensor:
        views = module(batches[part])
        own = [view for name, view in views.items() if name in method.streams]
        return -torch.stack([view.logps.sum() / view.token_share for view in own]).sum()

    @contextmanager
    def perturbed(blocks: Sequence[int] | None) -> Iterator[Perturbation]:
        chosen = blocks or [len(decoder_blocks(module.policy)) * 3 // 8]
        module.perturbation = Perturbation(chosen, [batches[part] for part in ours])
        try:
            yield module.perturbation
        finally:
            module.perturbation = None

    trained = [p for p in module.policy.parameters() if p.requires_grad]
    trainer = module._trainer
    step = 0 if trainer is None else trainer.global_step
    passes = Passes(trained, loss_of, ours, others, step, perturbed, relearn)
    return assembled(passes, method.whole)
