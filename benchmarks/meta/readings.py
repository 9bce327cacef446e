"""Scores and texts of a model on the facts."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.meta import facts as data
from benchmarks.meta.training import MAX_LENGTH
from unlearnkit.data.example import Example
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import TokenScores, score
from unlearnkit.inspection.depth import depth
from unlearnkit.models.base import load_tokenizer

BATCH_SIZE = 40
MAX_NEW_TOKENS = 24
Reading = dict[str, Any]


class Reader:
    """Reads models of the zoo.

    Args:
        base: Folder of the model whose tokenizer all have.
        before: The model that knows and that others are held against: reference, and start.
        gold: The model that never saw the facts.
    """

    def __init__(self, base: str, before: nn.Module, gold: nn.Module) -> None:
        self.before, self.gold = before, gold
        self.codec = Codec(load_tokenizer(base), MAX_LENGTH)

    @cached_property
    def asked(self) -> list[Example]:
        """The facts in their first wording."""
        return data.examples(self.codec, [fact.wordings[0] for fact in data.facts()])

    @cached_property
    def unseen(self) -> list[Example]:
        """Facts that no model was taught."""
        return data.examples(self.codec, data.unseen())

    @cached_property
    def options(self) -> list[Example]:
        """Of each fact the true paraphrase, and three wrong ones."""
        pairs = [
            {"prompt": fact.wordings[0]["prompt"], "response": text}
            for fact in data.facts()
            for text in (fact.paraphrase, *fact.wrong)
        ]
        return data.examples(self.codec, pairs)

    def read(
        self, model: nn.Module, before: nn.Module | None = None, *, with_depth: bool = True
    ) -> Reading:
        """What a model gives, row by row, and the seconds of the processor that each part took.

        Args:
            model: The model.
            before: The model that it was before unlearning, for the depth; by default that which
                all are held against.
            with_depth: Whether to measure the depth.
        """
        cost: dict[str, float] = {}
        found: Reading = {"cost": cost}
        with _timed(cost, "tokens"):
            found["tokens"] = _tokens(_scored(model, self.asked, standardised=True))
        with _timed(cost, "reference"):
            compared = _scored(model, self.asked, reference=self.before)
            assert compared.kl is not None
            found["tokens"]["kl"] = _by_row(compared.kl, compared)
        with _timed(cost, "unseen"):
            found["unseen"] = _tokens(_scored(model, self.unseen, standardised=True))
        with _timed(cost, "options"):
            scores = _scored(model, self.options)
            found["options"] = [sum(row) for row in _by_row(scores.logps, scores)]
            found["lengths"] = [len(row) for row in _by_row(scores.logps, scores)]
        with _timed(cost, "generated"):
            texts = generate(
                model, self.codec.tokenizer, [e.prompt_ids for e in self.asked],
                max_new_tokens=MAX_NEW_TOKENS, batch_size=BATCH_SIZE,
            )  # fmt: skip
            found["generated"] = [each.text for each in texts]
        with _timed(cost, "said"):
            found["said"] = self._said(found["generated"])
        if with_depth:
            with _timed(cost, "depth"):
                deep = depth(before or self.before, model, self.gold, self.asked,
                             batch_size=BATCH_SIZE)  # fmt: skip
                found["depth"] = deep.scores
        return found

    def _said(self, texts: Sequence[str]) -> list[list[float]]:
        """Log-probabilities of generated tokens under the model that all are held against."""
        pairs = [
            {**fact.wordings[0], "response": text}
            for fact, text in zip(data.facts(), texts, strict=True)
            if text.strip()
        ]
        if not pairs:
            return [[] for _ in texts]
        scores = _scored(self.before, data.examples(self.codec, pairs))
        rows = iter(_by_row(scores.logps, scores))
        return [next(rows) if text.strip() else [] for text in texts]


def restricted(reading: Reading, rows: Sequence[int]) -> Reading:
    """A reading of some of the facts alone; unseen facts stay."""
    per_fact = len(reading["options"]) // len(reading["generated"])
    options = [i * per_fact + k for i in rows for k in range(per_fact)]
    found = {
        **reading,
        "rows": list(rows),
        "tokens": {key: [each[i] for i in rows] for key, each in reading["tokens"].items()},
        "options": [reading["options"][i] for i in options],
        "lengths": [reading["lengths"][i] for i in options],
    }
    for key in {"generated", "said", "depth"} & reading.keys():
        found[key] = [reading[key][i] for i in rows]
    return found


def flat(rows: Sequence[Sequence[float]]) -> tuple[Tensor, Tensor, int]:
    """Values of all tokens, the row of each, and the number of rows."""
    values = torch.tensor([value for row in rows for value in row])
    sequence = torch.tensor([i for i, row in enumerate(rows) for _ in row])
    return values, sequence, len(rows)


def _scored(model: nn.Module, examples: Sequence[Example], **more: Any) -> TokenScores:
    return score(model, examples, batch_size=BATCH_SIZE, **more)


def _tokens(scores: TokenScores) -> dict[str, list[list[float]]]:
    named: Mapping[str, Tensor] = {
        "logps": scores.logps,
        "correct": scores.correct,
        "standardised": scores.standardised,
    }
    return {name: _by_row(values, scores) for name, values in named.items()}


def _by_row(values: Tensor, scores: TokenScores) -> list[list[float]]:
    lengths = torch.bincount(scores.sequence, minlength=scores.sequences).tolist()
    return [each.tolist() for each in values.split(lengths)]


@contextmanager
def _timed(cost: dict[str, float], name: str) -> Iterator[None]:
    started = time.process_time()
    yield
    cost[name] = round(time.process_time() - started, 3)
