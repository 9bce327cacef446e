"""Pairs the sequences of two streams that share their row order."""

from __future__ import annotations

from collections import defaultdict

import torch
from torch import Tensor

from unlearnkit.engine.step.views import StreamView
from unlearnkit.errors import UserError


def partners(
    first: StreamView, second: StreamView, names: tuple[str, ...], *, several: bool = False
) -> Tensor:
    """For each sequence of the second view, the index of its partner in the first.

    Partners have the same row. A row that is in a step twice has its sequences paired in order.

    Args:
        first: ``S`` sequences.
        second: ``S'`` sequences of the same rows.
        names: The two streams' names, for the message.
        several: Whether a sequence of the first view may have more than one partner.

    Returns:
        ``[S']``.

    Raises:
        UserError: If a sequence of either view has no partner, or too many.
    """
    ours, theirs = _places(first.rows), _places(second.rows)
    partner = [0] * len(second)
    bad: list[str] = []
    for row in sorted({*ours, *theirs}):
        here, there = ours.get(row, []), theirs.get(row, [])
        share, rest = divmod(len(there), len(here)) if here else (0, 1)
        if rest or share < 1 or (share > 1 and not several):
            bad.append(f"row {row} ({len(here)} and {len(there)})")
            continue
        for k, place in enumerate(there):
            partner[place] = here[k // share]
    if bad:
        raise UserError(
            f"streams '{names[0]}' and '{names[1]}' are to be paired by row, but do not match in "
            f"{', '.join(bad)} (sequences of each)",
            hint="Both streams need the same number of rows in the same order, and the second "
            f"has to follow '{names[0]}'.",
        )
    found = torch.tensor(partner, dtype=torch.long)
    return found.to(second.target.device, non_blocking=True)


def sum_by_partner(x: Tensor, partner: Tensor, first: StreamView) -> Tensor:
    """Sum of the values of each sequence's partners. ``[S'] -> [S]``."""
    return x.new_zeros(len(first)).index_add(0, partner, x)


def _places(rows: tuple[int, ...]) -> dict[int, list[int]]:
    places: defaultdict[int, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        places[row].append(place)
    return places
