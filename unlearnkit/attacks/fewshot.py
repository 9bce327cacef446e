"""Shows other forget rows before the question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from unlearnkit.attacks.base import Attack, Curve, Target, check_limit
from unlearnkit.attacks.measuring import Split, measured, notes_on, split_rows
from unlearnkit.data.streams.chat import ChatStream
from unlearnkit.data.tokens.control import Rendered
from unlearnkit.engine.generation.sampling import on_device
from unlearnkit.errors import UserError
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model

if TYPE_CHECKING:
    from unlearnkit.data.example import Example


@dataclass(frozen=True)
class Shots:
    """Rows that are shown, and those that have room for them."""

    start: tuple[int, ...]
    """What a prompt begins with."""
    shown: list[tuple[int, ...]]
    """Ids of each row that is shown, with what stands behind it."""
    numbers: list[int]
    """How many are shown: 0, 1, 2, 4 and so on, as far as a row has room."""
    asked: list[Example]
    """Rows that have room for the largest number."""
    others: int
    """Rows that might have been asked."""

    def before(self, n: int) -> list[Example]:
        """The rows that are asked, behind the first ``n`` that are shown."""
        front = self.start + tuple(i for shot in self.shown[:n] for i in shot)
        return [e._replace(prompt_ids=front + _without(self.start, e)) for e in self.asked]


class Fewshot(Attack, name="fewshot"):
    """Show other forget rows, with their answers, before the question.

    A curve has one mapping per number of rows shown (0, 1, 2, 4 and so on): ``shots``, and
    ``forget/<metric>`` over the rows that have room for the largest number, the same rows
    throughout.

    Args:
        rows: Rows that are shown.
        limit: Rows measured at most, evenly spaced.
        seed: Of the choice of rows.

    References:
        Lynch et al. 2024, "Eight methods to evaluate robust unlearning in LLMs",
        arXiv 2402.16835, sec. 3; Shumailov et al. 2024, arXiv 2407.00106.
    """

    def __init__(self, rows: int = 8, limit: int = 32, seed: int = 0) -> None:
        self.rows, self.limit, self.seed = rows, check_limit(limit), seed

    def prepare(self, target: Target) -> Shots:
        """Draws the rows that are shown, and finds those that have room for them.

        Raises:
            UserError: If no row has room for even one.
        """
        split = split_rows(target.examples, self.rows, self.limit, self.seed)
        # Between turns of a chat the token that ends an answer stays in place.
        chat = isinstance(target.stream, ChatStream)
        return shots_of(split, target, "" if chat else "\n\n", keep_end=chat)

    def notes(self, rows: Shots, target: Target) -> list[str]:
        """Rows that are cut, that have no word, or no room."""
        notes = notes_on({"forget": rows.asked}, target)
        left, most = rows.others - len(rows.asked), rows.numbers[-1]
        within = f"within {target.context.max_length} tokens"
        if left:
            notes.append(
                f"forget: {left} of {rows.others} rows have no room for {most} others {within}, "
                "and are left out"
            )
        if 2 * most <= len(rows.shown):
            notes.append(f"shots: no row has room for more than {most} others {within}")
        return notes

    def run(self, base: str | BaseModel, rows: Shots, target: Target) -> Curve:
        """Measures with ever more rows shown."""
        model = on_device(load_model(base))
        return [
            {"shots": n, **measured(model, target.tokenizer, rows.before(n), target.context)}
            for n in rows.numbers
        ]


def shots_of(split: Split, target: Target, separator: str, *, keep_end: bool) -> Shots:
    """What is shown of a split, and the rows that have room for it.

    Raises:
        UserError: If no row has room for even one.
    """
    codec, room = target.codec, target.context.max_length
    between = tuple(codec.tokens([Rendered(separator)])[0]) if separator else ()
    start = tuple(codec.bos)

    def answer(example: Example) -> tuple[int, ...]:
        ids = example.response_ids
        ended = not keep_end and ids[-1] in codec.end_ids
        return ids[:-1] if ended else ids

    shown = [_without(start, each) + answer(each) + between for each in split.held]
    numbers = [0, *(2**i for i in range(len(shown)) if 2**i <= len(shown))]
    for last in range(len(numbers) - 1, 0, -1):
        taken = len(start) + sum(map(len, shown[: numbers[last]]))
        asked = [
            each
            for each in split.others
            if taken + len(_without(start, each)) + len(each.response_ids) <= room
        ]
        if asked:
            return Shots(start, shown, numbers[: last + 1], asked, len(split.others))
    raise UserError(
        f"fewshot: no forget row has room for another one within {room} tokens",
        hint="Raise data.max_length of the recipe, if the model takes more.",
    )


def _without(start: tuple[int, ...], example: Example) -> tuple[int, ...]:
    """The prompt without what it begins with."""
    ids = example.prompt_ids
    return ids[len(start) :] if ids[: len(start)] == start else ids
