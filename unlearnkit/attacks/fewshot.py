"""Shows other forget rows before the question."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from unlearnkit.attacks.base import Attack, Curve, Target, check_limit
from unlearnkit.attacks.measuring import Split, measured, split_rows
from unlearnkit.data.streams.chat import ChatStream
from unlearnkit.data.tokens.control import Rendered
from unlearnkit.errors import UserError
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model

if TYPE_CHECKING:
    from unlearnkit.data.example import Example


class Shots(NamedTuple):
    """Rows that are shown and asked, and what stands between them."""

    split: Split
    separator: str
    keep_end: bool
    """Leave the token that ends an answer in place, as between turns of a chat."""


class Fewshot(Attack, name="fewshot"):
    """Show other forget rows, with their answers, before the question.

    A curve has a mapping a number of rows shown (0, 1, 2, 4 and so on): ``shots``, and
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
        """Draws the rows that are shown."""
        split = split_rows(target.examples, self.rows, self.limit, self.seed)
        chat = isinstance(target.stream, ChatStream)
        return Shots(split, separator="" if chat else "\n\n", keep_end=chat)

    def run(self, base: str | BaseModel, rows: Shots, target: Target) -> Curve:
        """Measures with ever more rows shown.

        Raises:
            UserError: If no row has room for even one.
        """
        split, separator, keep_end = rows
        codec, context = target.codec, target.context
        between = tuple(codec.tokens([Rendered(separator)])[0]) if separator else ()
        start = tuple(codec.bos)

        def without_start(example: Example) -> tuple[int, ...]:
            ids = example.prompt_ids
            return ids[len(start) :] if ids[: len(start)] == start else ids

        def answer(example: Example) -> tuple[int, ...]:
            ids = example.response_ids
            ended = not keep_end and ids[-1] in codec.end_ids
            return ids[:-1] if ended else ids

        shots = [without_start(each) + answer(each) + between for each in split.held]
        numbers = [0, *(2**i for i in range(len(shots)) if 2**i <= len(shots))]

        def prompted(example: Example, n: int) -> Example:
            ids = start + tuple(i for shot in shots[:n] for i in shot) + without_start(example)
            return example._replace(prompt_ids=ids)

        def fitting(n: int) -> list[Example]:
            asked = ((prompted(e, n), e) for e in split.others)
            return [e for p, e in asked if sum(map(len, p[:2])) <= context.max_length]

        while len(numbers) > 1 and not fitting(numbers[-1]):
            numbers.pop()
        if len(numbers) == 1:
            raise UserError(
                "fewshot: no forget row has room for another one within "
                f"{context.max_length} tokens",
                hint="Raise data.max_length of the recipe, if the model takes more.",
            )
        kept = fitting(numbers[-1])
        model = load_model(base)
        return [
            {
                "shots": n,
                **measured(model, target.tokenizer, [prompted(e, n) for e in kept], context),
            }
            for n in numbers
        ]
