"""Shows the beginning of the true answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from unlearnkit.attacks.base import Attack, Curve, Target, check_limit
from unlearnkit.attacks.measuring import measured, spaced
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model

if TYPE_CHECKING:
    from unlearnkit.data.example import Example

SHOWN = (0, 2, 4, 8, 16)
"""Tokens of the answer that are shown."""


class Prefix(Attack, name="prefix"):
    """Show the first tokens of the true answer, and measure the rest.

    A curve has a mapping a number of tokens shown: ``shown``, and ``forget/<metric>`` over the rows
    that have two tokens left at the largest of them, the same rows throughout.

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

    def run(self, base: str | BaseModel, rows: Sequence[Example], target: Target) -> Curve:
        """Measures with ever more of the answer shown."""
        model = load_model(base)
        lengths = [len(each.response_ids) for each in rows]
        numbers = [n for n in SHOWN if n + 2 <= max(lengths)]
        kept = [e for e in rows if len(e.response_ids) >= max(numbers, default=0) + 2]
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
