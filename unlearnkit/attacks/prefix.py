"""Shows the beginning of the true answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unlearnkit.attacks.base import Attack, Curve, Target, check_limit
from unlearnkit.attacks.measuring import measured, notes_on
from unlearnkit.engine.generation.sampling import on_device
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model
from unlearnkit.plain import spaced

if TYPE_CHECKING:
    from unlearnkit.data.example import Example

SHOWN = (0, 2, 4, 8, 16)
"""Tokens of the answer that are shown."""


class Prefix(Attack, name="prefix"):
    """Show the first tokens of the true answer, and measure the rest.

    A curve has one mapping per number of tokens shown: ``shown``, and ``forget/<metric>``
    over the rows that have two tokens left at the largest number, the same rows throughout.

    Args:
        limit: Rows measured at most, evenly spaced.

    References:
        Carlini et al. 2023, "Quantifying memorization across neural language models",
        arXiv 2202.07646.
    """

    def __init__(self, limit: int = 32) -> None:
        self.limit = check_limit(limit)

    def prepare(self, target: Target) -> list[Example]:
        """Evenly spaced rows."""
        return spaced(target.examples, self.limit)

    def notes(self, rows: Sequence[Example], target: Target) -> list[str]:
        """Rows that are cut, that have no word, or that are too short."""
        numbers, kept = long_enough(rows)
        notes = notes_on({"forget": kept}, target)
        if len(kept) < len(rows):
            notes.append(
                f"forget: {len(rows) - len(kept)} of {len(rows)} rows have fewer than "
                f"{max(numbers) + 2} tokens, too few to be shown {max(numbers)}, and are left out"
            )
        return notes

    def run(self, base: str | BaseModel, rows: Sequence[Example], target: Target) -> Curve:
        """Measures with ever more of the answer shown."""
        model = on_device(load_model(base))
        numbers, kept = long_enough(rows)
        curve: Curve = []
        for n in numbers:
            moved = [
                e._replace(
                    prompt_ids=e.prompt_ids + e.response_ids[:n], response_ids=e.response_ids[n:]
                )
                for e in kept
            ]
            curve.append({"shown": n, **measured(model, target.tokenizer, moved, target.context)})
        return curve


def long_enough(rows: Sequence[Example]) -> tuple[list[int], list[Example]]:
    """The numbers of tokens that can be shown, and the rows that have two left at the largest."""
    longest = max(len(each.response_ids) for each in rows)
    numbers = [n for n in SHOWN if n + 2 <= longest]
    least = max(numbers, default=0) + 2
    return numbers, [each for each in rows if len(each.response_ids) >= least]
