"""Asks for the same answers in other words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from unlearnkit.attacks.base import Attack, Curve, Target, check_limit
from unlearnkit.attacks.measuring import measured, notes_on
from unlearnkit.attacks.wording import reworded
from unlearnkit.engine.generation.sampling import on_device
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model
from unlearnkit.plain import spaced
from unlearnkit.suites.parts.cuts import Cuts

if TYPE_CHECKING:
    from unlearnkit.data.example import Example


class Paraphrase(Attack, name="paraphrase"):
    """Ask for the same answers in other words.

    A curve has one mapping per wording: ``wording``, None for the rows' own, and
    ``forget/<metric>``.

    Args:
        limit: Rows measured at most, evenly spaced.
        data: File of the forget rows in other words.
        field: Column that has the prompt in other words; without it and data, frames are put
            around the prompts.

    References:
        Patil et al. 2024, "Can sensitive information be deleted from LLMs?", arXiv 2309.17410;
        Lynch et al. 2024, arXiv 2402.16835, sec. 3.
    """

    def __init__(self, limit: int = 32, data: str | None = None, field: str | None = None) -> None:
        self.limit, self.data, self.field = check_limit(limit), data, field

    def prepare(self, target: Target) -> dict[str | None, list[Example]]:
        """Reads the rows in every wording."""
        worded = reworded(target.stream, target.codec, self.field, self.data)
        return {wording: spaced(rows, self.limit) for wording, rows in worded.items()}

    def notes(self, rows: Mapping[str | None, Sequence[Example]], target: Target) -> list[str]:
        """Rows that are cut, more so behind longer prompts, or have no word."""
        cuts = Cuts(target.context.max_length)
        for wording, examples in rows.items():
            for own, each in zip(rows[None], examples, strict=True):
                kept = len(each.response_ids)
                cuts.add(f"forget, {wording}", kept, max(len(own.response_ids) - kept, 0))
        return [*notes_on({"forget": rows[None]}, target), *cuts.notes()]

    def run(
        self,
        base: str | BaseModel,
        rows: Mapping[str | None, Sequence[Example]],
        target: Target,
    ) -> Curve:
        """Measures in each wording."""
        model = on_device(load_model(base))
        return [
            {"wording": wording, **measured(model, target.tokenizer, examples, target.context)}
            for wording, examples in rows.items()
        ]
