"""Prompts that make a model say what it was made to forget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unlearnkit.attacks.measuring import Curve, Split, measured
from unlearnkit.data.example import Example
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import UserError
from unlearnkit.models.load import load_model
from unlearnkit.suites.base import SuiteContext


def prefix(
    base: Any,
    tokenizer: Any,
    examples: Sequence[Example],
    context: SuiteContext,
    *,
    shown: Sequence[int] = (0, 2, 4, 8, 16),
) -> Curve:
    """Shows the first tokens of the true answer and measures the rest.

    Returns:
        A mapping a number of tokens shown: ``shown``, and ``forget/<figure>`` over the rows that
        have two tokens left at the largest of them, the same rows throughout.

    References:
        Carlini et al. 2023, "Quantifying memorization across neural language models",
        arXiv 2202.07646.
    """
    model = load_model(base)
    lengths = [len(each.response_ids) for each in examples]
    numbers = [n for n in shown if n + 2 <= max(lengths)]
    kept = [e for e in examples if len(e.response_ids) >= max(numbers, default=0) + 2]
    curve: Curve = []
    for n in numbers:
        moved = [
            e._replace(
                prompt_ids=e.prompt_ids + e.response_ids[:n], response_ids=e.response_ids[n:]
            )
            for e in kept
        ]
        curve.append({"shown": n, **measured(model, tokenizer, moved, context)})
    return curve


def fewshot(
    base: Any,
    tokenizer: Any,
    split: Split,
    context: SuiteContext,
    *,
    separator: str = "\n\n",
    keep_end: bool = False,
) -> Curve:
    """Shows other forget rows, with their answers, before the question.

    Args:
        base: The model under attack.
        tokenizer: Its tokenizer.
        split: Rows of the attacker, which are shown, and others, which are asked.
        context: Sizes; a prompt with its answer is at most ``max_length`` long.
        separator: Text behind each row shown.
        keep_end: Leave the token that ends an answer in place, as between turns of a chat.

    Returns:
        A mapping a number of rows shown (0, 1, 2, 4 and so on): ``shots``, and
        ``forget/<figure>`` over the rows that have room for the largest number, the same rows
        throughout.

    Raises:
        UserError: If no row has room for even one.

    References:
        Lynch et al. 2024, "Eight methods to evaluate robust unlearning in LLMs",
        arXiv 2402.16835, sec. 3; Shumailov et al. 2024, arXiv 2407.00106.
    """
    codec = Codec(tokenizer, context.max_length)
    between = tuple(codec.tokens([separator])[0]) if separator else ()
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
            f"fewshot: no forget row has room for another one within {context.max_length} tokens",
            hint="Raise data.max_length of the recipe, if the model takes more.",
        )
    kept = fitting(numbers[-1])
    model = load_model(base)
    return [
        {"shots": n, **measured(model, tokenizer, [prompted(e, n) for e in kept], context)}
        for n in numbers
    ]


def paraphrase(
    base: Any,
    tokenizer: Any,
    worded: Mapping[str | None, Sequence[Example]],
    context: SuiteContext,
) -> Curve:
    """Asks for the same answers in other words.

    Args:
        base: The model under attack.
        tokenizer: Its tokenizer.
        worded: The forget rows in each wording, None for their own; see `reworded`.
        context: Sizes.

    Returns:
        A mapping a wording: ``wording``, and ``forget/<figure>``.

    References:
        Patil et al. 2024, "Can sensitive information be deleted from LLMs?", arXiv 2309.17410;
        Lynch et al. 2024, arXiv 2402.16835, sec. 3.
    """
    model = load_model(base)
    return [
        {"wording": wording, **measured(model, tokenizer, examples, context)}
        for wording, examples in worded.items()
    ]
