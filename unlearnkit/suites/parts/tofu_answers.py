"""Answers to questions of TOFU, and losses on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from unlearnkit.data.example import Example
from unlearnkit.engine.generation.scoring import TokenScores, score
from unlearnkit.functional import tofu as truth
from unlearnkit.functional.membership import loss
from unlearnkit.suites.base import SuiteContext
from unlearnkit.suites.parts.published import Item, Prompting

if TYPE_CHECKING:
    from torch import nn

Losses: TypeAlias = tuple[float, list[float]]
"""Nats per token of the right answer and of the wrong ones."""


class Asked(NamedTuple):
    """A row: its answer, the right one of the truth ratio, and the wrong ones."""

    answer: Example
    text: str
    """The answer, whole."""
    right: Example
    wrong: list[Example]


def asked_rows(asking: Prompting, items: Sequence[Item], compared: bool) -> list[Asked]:
    """Questions with their answers as tokens; without wrong ones where none are compared."""
    answers = [_answers(item.fields, compared) for item in items]
    examples = iter(
        asking.examples(
            [
                (item, item.fields["question"], text)
                for item, texts in zip(items, answers, strict=True)
                for text in texts
            ]
        )
    )
    return [
        Asked(next(examples), answer, next(examples), [next(examples) for _ in wrong])
        for answer, _, *wrong in answers
    ]


def _answers(fields: Mapping[str, Any], compared: bool) -> list[str]:
    """The answer, the right one of the truth ratio, and the wrong ones."""
    right = fields.get("paraphrased_answer", fields["answer"])
    return [fields["answer"], right, *(fields["perturbed_answer"] if compared else ())]


def compared_answers(asked: Sequence[Asked]) -> list[Example]:
    """The right answer of each row and the wrong ones."""
    return [example for each in asked for example in (each.right, *each.wrong)]


def losses_of(scores: TokenScores, asked: Sequence[Asked]) -> list[Losses]:
    """Losses of the answers that `compared_answers` gives, row by row."""
    losses = iter(loss(scores.logps, scores.sequence, scores.sequences).tolist())
    return [(next(losses), [next(losses) for _ in each.wrong]) for each in asked]


def truth_ratios(model: nn.Module, context: SuiteContext, asked: Sequence[Asked]) -> list[float]:
    """Truth ratio of each row under a model."""
    scores = score(model, compared_answers(asked), batch_size=context.batch_size)
    return [truth_ratio(*each) for each in losses_of(scores, asked)]


def as_tensors(right: float, wrong: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Nats per token of one row: ``[1]`` and ``[1, K]``. Rows may differ in K."""
    return torch.tensor([right]).double(), torch.tensor([wrong]).double()


def truth_ratio(right: float, wrong: Sequence[float]) -> float:
    """Truth ratio of one row, by the geometric mean of its wrong answers."""
    return truth.truth_ratio(*as_tensors(right, wrong)).item()


def probability_of(row: Mapping[str, Any], among: bool) -> float:
    """Probability of a row's answer, normalised by its length, or among the wrong ones."""
    nll = torch.tensor([row["nll"]], dtype=torch.double)
    if not among:
        return truth.probability(nll).item()
    wrong = torch.tensor([row["nll_wrong"]], dtype=torch.double)
    return truth.probability_with_options(nll, wrong).item()
