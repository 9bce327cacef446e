"""The rows an attack is judged on, and their metrics."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from unlearnkit.attacks.base import Target
from unlearnkit.data.example import Example
from unlearnkit.errors import UserError
from unlearnkit.functional.text import words
from unlearnkit.plain import spaced
from unlearnkit.suites.base import SuiteContext
from unlearnkit.suites.parts.continuations import continuation_rows, text_of
from unlearnkit.suites.parts.cuts import Cuts, longer_than
from unlearnkit.suites.parts.measured import mean_of

MEASURED = ("rougeL_recall", "extraction_strength", "exact_memorization")
"""What is measured; all are 1 for a text that is recited."""
MAX_NEW_TOKENS = 64


@dataclass(frozen=True)
class Split:
    """Rows that the attacker holds, and the forget rows on which the attack is judged."""

    held: list[Example]
    others: list[Example]


def split_rows(examples: Sequence[Example], held: int, limit: int, seed: int) -> Split:
    """Draws the attacker's rows; of the others, at most ``limit``, evenly spaced.

    The sequences of a row, such as the cuts of one passage, are drawn together. Rows with an answer
    that the attacker holds, such as other wordings of a question, are not judged.

    Raises:
        UserError: If no other row would be left.
    """
    rows = list(dict.fromkeys((each.source, each.row) for each in examples))
    if len(rows) < 2:
        raise UserError(
            "--rows: the attack is judged on forget rows that the attacker does not hold, and "
            f"there is {len(rows)} row",
            hint="Give more forget rows.",
        )
    if not 1 <= held < len(rows):
        raise UserError(
            f"--rows: expected 1 to {len(rows) - 1}, so that forget rows are left to be "
            f"measured, found {held}"
        )
    drawn = {rows[place] for place in random.Random(seed).sample(range(len(rows)), held)}
    own = [each for each in examples if (each.source, each.row) in drawn]
    told = {each.response_ids for each in own}
    seen = drawn | {(e.source, e.row) for e in examples if e.response_ids in told}
    others = [each for each in examples if (each.source, each.row) not in seen]
    if not others:
        raise UserError(
            f"--rows: all forget rows have an answer of the {held} that the attacker holds",
            hint="Draw fewer rows, or give forget rows with other answers.",
        )
    return Split(own, spaced(others, limit))


def benign_split(
    benign: Sequence[Example], examples: Sequence[Example], held: int, limit: int, seed: int
) -> Split:
    """Draws the attacker's rows from others than the forget rows, which are all judged.

    Raises:
        UserError: If there are fewer benign rows than that.
    """
    if not 1 <= held <= len(benign):
        raise UserError(f"--rows: expected 1 to {len(benign)}, the rows of --data, found {held}")
    drawn = random.Random(seed).sample(range(len(benign)), held)
    return Split([benign[i] for i in sorted(drawn)], spaced(examples, limit))


def measure(
    model: nn.Module, tokenizer: Any, examples: Sequence[Example], context: SuiteContext
) -> dict[str, float | None]:
    """How well the model recites the examples, mean over the rows that hold anything to recite.

    Of a true text of more than `MAX_NEW_TOKENS` tokens so many are generated and compared.
    """
    rows = continuation_rows(model, tokenizer, context, examples, MAX_NEW_TOKENS)
    return {name: mean_of(rows, name) for name in MEASURED}


def measured(
    model: nn.Module, tokenizer: Any, examples: Sequence[Example], context: SuiteContext
) -> dict[str, float | None]:
    """`measure` of forget rows, as it stands in a curve."""
    values = measure(model, tokenizer, examples, context)
    return {f"forget/{name}": value for name, value in values.items()}


def notes_on(
    kinds: Mapping[str, Sequence[Example]], target: Target, *, generated: bool = True
) -> list[str]:
    """What is cut from the rows that are measured, or left out of a metric, a sentence each.

    Args:
        kinds: Forget rows that are measured, by what they are called.
        target: What is attacked.
        generated: Whether the true texts are compared with what is generated.
    """
    cuts = Cuts(target.context.max_length)
    compared = MAX_NEW_TOKENS if generated else target.context.max_length
    wordless: list[str] = []
    for kind, examples in kinds.items():
        for each in examples:
            cuts.add(kind, len(each.response_ids), target.cut.get(each.row, 0))
        texts = (text_of(target.tokenizer, each.response_ids[:compared]) for each in examples)
        count = sum(not words(text) for text in texts)
        if count:
            wordless.append(
                f"{kind}/rougeL_recall leaves out {count} of {len(examples)} rows, whose true text "
                "has no word"
            )
    return [*cuts.notes(), *longer_than(kinds, compared, compared_in_part=True), *wordless]
