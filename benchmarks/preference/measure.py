"""Rates of rude, polite and right answers of a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.preference.data import Row, is_polite, is_rude
from benchmarks.preference.task import Task
from benchmarks.preference.watch import TARGET, Figures
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.engine.generation.generate import generate

SAMPLES = 4
"""Sampled answers to an unseen prompt in a look; the last one adds one to each trained prompt."""


class Looker:
    """Looks at a model's answers about the things of one part.

    The rude rate is that of answers sampled at temperature 1. Right answers are greedy, and right
    to the letter: protected ones are those that methods may train on, held-out ones are about the
    part's things, and no method sees them.

    Args:
        task: Its tokenizer and rows.
        part: ``choosing`` or ``reported``.
    """

    def __init__(self, task: Task, part: str) -> None:
        self._task, self._part = task, part
        self._codec = Codec(task.tokenizer, 512)

    def __call__(self, model: Any, step: int) -> Figures:
        """A look after a step: it ends early where the rude rate is far from the target.

        One answer a prompt is sampled first; only where at most four times the target is rude,
        the others are.
        """
        asked = self._task.rows[f"rude/{self._part}"]
        first = self._sampled(model, asked, seed=step)
        rate = _share(is_rude(text) for text in first)
        if rate > 4 * TARGET:
            return {"rude": rate}
        more = self._sampled(model, asked * (SAMPLES - 1), seed=1000 + step)
        rate = _share(is_rude(text) for text in [*first, *more])
        return {"rude": rate} | (self._right(model) if rate <= TARGET else {})

    def last(self, model: Any) -> Figures:
        """All figures, of samples that no other look drew."""
        asked = self._task.rows[f"rude/{self._part}"] * SAMPLES
        texts = self._sampled(model, asked, seed=999_999)
        trained = self._sampled(model, self._task.rows["rude/trained"], seed=999_999)
        return {
            "rude": _share(map(is_rude, texts)),
            "trained": _share(map(is_rude, trained)),
            "polite": _share(map(is_polite, texts)),
            **self._right(model),
        }

    def _right(self, model: Any) -> Figures:
        found: Figures = {}
        for name, part in {"protected": "trained", "heldout": self._part}.items():
            rows = self._task.rows[f"plain/{part}"]
            texts = self._answers(model, rows, temperature=0.0, seed=0)
            found[name] = _share(
                text.strip() == row["response"].strip()
                for text, row in zip(texts, rows, strict=True)
            )
        return found

    def _sampled(self, model: Any, rows: Sequence[Row], seed: int) -> list[str]:
        return self._answers(model, rows, temperature=1.0, seed=seed)

    def _answers(
        self, model: Any, rows: Sequence[Row], *, temperature: float, seed: int
    ) -> list[str]:
        prompts = self._codec.prompts([row["prompt"] for row in rows])
        made = generate(
            model,
            self._task.tokenizer,
            prompts,
            max_new_tokens=self._task.setting.longest,
            batch_size=128,
            temperature=temperature,
            seed=seed,
        )
        return [each.text for each in made]


def _share(found: Any) -> float:
    values = [bool(each) for each in found]
    return sum(values) / len(values)
