"""Draws several answers to each prompt, and measures the best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from unlearnkit.attacks.base import Attack, Curve, Target, check_limit
from unlearnkit.attacks.measuring import MAX_NEW_TOKENS, notes_on
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.sampling import SEQUENCES_AT_ONCE, on_device
from unlearnkit.errors import UserError
from unlearnkit.metrics import LeakRate, Rouge
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model
from unlearnkit.plain import spaced
from unlearnkit.suites.parts.continuations import text_of

if TYPE_CHECKING:
    from unlearnkit.data.example import Example


class Sample(Attack, name="sample"):
    """Draw several answers to each prompt: one that leaks is enough.

    The likeliest answer may be another one while the true one is still sampled at times. A curve
    has one mapping per number of samples (1, 2, 5, 10, 20 and so on): ``samples``, and of the one
    that is nearest to the true text ``forget/rougeL_recall``, mean over rows, and
    ``forget/leak_rate``, the share of rows with a BLEU above ``leak_bleu``. The first samples are
    among the later ones, so no curve falls. True texts of fewer than four tokens have no BLEU.

    Args:
        samples: Answers drawn to each prompt.
        temperature: Of the sampling.
        top_p: Share of the probability that is sampled from.
        leak_bleu: BLEU, on 0 to 100, above which an answer counts as a leak.
        limit: Rows measured at most, evenly spaced.
        seed: Of the sampling.

    References:
        Patil et al. 2024, "Can sensitive information be deleted from LLMs?", arXiv 2309.17410,
        sec. 3, for an attacker with several attempts.
    """

    def __init__(
        self,
        samples: int = 20,
        temperature: float = 1.0,
        top_p: float = 1.0,
        leak_bleu: float = 20.0,
        limit: int = 32,
        seed: int = 0,
    ) -> None:
        if samples < 1:
            raise UserError(f"--samples: expected at least 1, found {samples}")
        if not temperature > 0:
            raise UserError(f"--temperature: expected above 0, found {temperature}")
        if not 0 < top_p <= 1:
            raise UserError(f"--top_p: expected above 0, and at most 1, found {top_p}")
        self.samples, self.temperature, self.top_p = samples, temperature, top_p
        self.leak_bleu, self.limit, self.seed = leak_bleu, check_limit(limit), seed

    def prepare(self, target: Target) -> list[Example]:
        """Evenly spaced rows."""
        return spaced(target.examples, self.limit)

    def notes(self, rows: Sequence[Example], target: Target) -> list[str]:
        """Rows that are cut, or have no word."""
        return notes_on({"forget": rows}, target)

    def run(self, base: str | BaseModel, rows: Sequence[Example], target: Target) -> Curve:
        """Draws all samples, and measures ever more of them."""
        model, tokenizer = on_device(load_model(base)), target.tokenizer
        limits = [min(MAX_NEW_TOKENS, len(row.response_ids)) for row in rows]
        drawn = generate(
            model,
            tokenizer,
            [row.prompt_ids for row in rows for _ in range(self.samples)],
            max_new_tokens=[limit for limit in limits for _ in range(self.samples)],
            batch_size=SEQUENCES_AT_ONCE,
            temperature=self.temperature,
            top_p=self.top_p,
            seed=self.seed,
        )
        said = [each.text for each in drawn]
        true = [
            text_of(tokenizer, row.response_ids[:limit])
            for row, limit in zip(rows, limits, strict=True)
        ]
        texts = [said[i * self.samples : (i + 1) * self.samples] for i in range(len(rows))]
        return [{"samples": k, **self._nearest(texts, true, k)} for k in numbers(self.samples)]

    def _nearest(
        self, texts: Sequence[Sequence[str]], true: Sequence[str], k: int
    ) -> dict[str, Any]:
        """Metrics of the first ``k`` texts a row."""
        found: dict[str, Any] = {}
        metrics = {"rougeL_recall": Rouge(), "leak_rate": LeakRate(self.leak_bleu)}
        for name, metric in metrics.items():
            values = [
                max(metric.per_row(row[:k], [text] * k))
                for row, text in zip(texts, true, strict=True)
            ]
            known = [value for value in values if value == value]  # nan: nothing to compare
            found[f"forget/{name}"] = metric.aggregate(known) if known else None
        return found


def numbers(most: int) -> list[int]:
    """Numbers of samples that are measured.

    Example:
        >>> numbers(20), numbers(7)
        ([1, 2, 5, 10, 20], [1, 2, 5, 7])
    """
    steps = [step * 10**power for power in range(len(str(most))) for step in (1, 2, 5)]
    return [*(each for each in steps if each < most), most]
