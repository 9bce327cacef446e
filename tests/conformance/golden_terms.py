"""Published functions as weighted sums of registered objectives, held against stored values.

Where a function departs from its formula, an objective reproduces it by ``compat``; where it
reads prompts or padding, by the positions of `golden_positions`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import pytest
import torch
from golden_objectives import LOSS_REL, Record, Values, differences
from golden_positions import Demand, Positions, read_views
from torch import Tensor

from unlearnkit.data.pack import Layout
from unlearnkit.objectives import PDU, RetainKL, RetainNLL
from unlearnkit.objectives.base import Objective


@dataclass(frozen=True)
class Term:
    """A weighted objective, and the positions it reads where they are not the response's."""

    objective: Objective
    at: Mapping[str, Positions] = field(default_factory=dict)

    def positions(self) -> dict[str, Positions]:
        streams = self.objective.streams
        return {stream: self.at.get(stream, Positions.RESPONSE) for stream in streams}


Recipe = TypeVar("Recipe", bound=Callable[..., list[Term]])
RECIPES: dict[str, Callable[[Record], list[Term]]] = {}


def recipe(*names: str) -> Callable[[Recipe], Recipe]:
    """Names the published functions that a list of terms stands for."""

    def register(function: Recipe) -> Recipe:
        RECIPES.update(dict.fromkeys(names, function))
        return function

    return register


def terms_of(record: Record) -> list[Term]:
    """The record's objectives; an unknown one is an error."""
    if record.objective not in RECIPES:
        raise LookupError(f"no recipe gives the stored objective '{record.objective}'")
    return RECIPES[record.objective](record)


def on(stream: str, at: Positions, objective: Objective) -> Term:
    return Term(objective, {stream: at})


def retain_term(record: Record, weight: float, kind: str = "NLL") -> Term:
    if kind == "NLL":
        return Term(RetainNLL(weight))
    if kind == "KL":
        return on("retain", Positions.EVERY, RetainKL(weight))
    raise LookupError(f"{record.name}: no recipe for the retain term '{kind}'")


def check(record: Record) -> list[str]:
    """Where the record's values are not ours, in both dtypes and all its layouts."""
    return [
        f"{dtype}, {layout}: {line}"
        for dtype in (torch.float32, torch.float64)
        for layout in record.layouts()
        for line in compare(record, dtype, layout)
    ]


def compare(record: Record, dtype: torch.dtype, layout: Layout) -> list[str]:
    """Differences in one dtype and layout, through packing, engine and objectives."""
    terms = terms_of(record)
    loss = loss_of(record, terms, dtype, layout)
    found = Values(loss.item(), *record.policy(dtype).gradient_norms(loss))
    lines = differences(found, record.expected(dtype), dtype)
    if record.dual_after_step is not None and dtype == torch.float64:
        (dual,) = [after_step(t.objective) for t in terms if isinstance(t.objective, PDU)]
        if dual != pytest.approx(record.dual_after_step, rel=LOSS_REL[dtype]):
            lines.append(f"dual weight: {dual!r}, expected {record.dual_after_step!r}")
    return lines


def after_step(objective: PDU) -> float:
    objective.after_step(lambda mean_of_one_rank: mean_of_one_rank)
    return objective.dual


def loss_of(record: Record, terms: list[Term], dtype: torch.dtype, layout: Layout) -> Tensor:
    objectives = [term.objective for term in terms]
    needs = {need for objective in objectives for need in objective.needs}
    layers = {layer for objective in objectives for layer in objective.layers}
    demand = Demand(tuple(layers), "hidden" in needs, "reference" in needs)
    positions = {role: at for term in terms for role, at in term.positions().items()}
    views = read_views(record, positions, demand, dtype, layout)
    return torch.stack([each.weight * each(views) for each in objectives]).sum()
