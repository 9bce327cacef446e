"""Searches how strong a corruption has to be, without gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from unlearnkit.data.example import Example
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import score
from unlearnkit.functional.text import rouge

LEAST = 1e-8
"""Where the published search measures, at the least."""
SEARCHING = (
    "metric", "surrogate", "surrogate_model", "surrogate_rows", "search_rate", "search_steps",
    "tolerance",
)  # fmt: skip
"""Arguments of the edit that are of the search."""


class Trial(NamedTuple):
    """A measurement of the search."""

    value: float
    """The strength, or the number of dimensions."""
    measured: float
    """What the metric is with it."""
    distance: float
    """How far that is from the surrogate."""


def search_strength(
    measure: Callable[[float], float],
    surrogate: float,
    start: float,
    *,
    rate: float = 100.0,
    steps: int = 10,
    tolerance: float = 0.02,
    spread: float = 0.999,
) -> tuple[float, list[Trial]]:
    r"""The value whose metric is nearest to a surrogate, of those that a descent looked at.

    A step measures on both sides of the present value and moves against the slope of the distance,
    never below the start:

    $$\sigma \leftarrow \max\Bigl(\sigma_0,\ \sigma - \eta\,
      \frac{d(\sigma + \mu) - d(\sigma - \mu)}{2\mu}\Bigr), \quad d(\sigma) = |v(\sigma) - \hat v|$$

    Args:
        measure: $v$, the metric of the corrupted model with a value.
        surrogate: $\hat v$, what it would be of a model that never saw the rows.
        start: $\sigma_0$, above 0.
        rate: $\eta$.
        steps: How many.
        tolerance: It ends once the distance above the present value is below this.
        spread: $\mu / \sigma_0$, below 1.

    Returns:
        The value, and all measurements in their order.

    Example:
        >>> search_strength(lambda value: 1 / (1 + value), 0.25, 1.0, rate=4.0)[0] > 2
        True

    References:
        Liu et al. 2024 (ECO), arXiv 2406.07933: rate, steps, start 0.1, spread and tolerance are
        those of its code, which lowers the accuracy itself and ends near that of chance.
    """
    trials: list[Trial] = []

    def distance(value: float) -> float:
        found = measure(value)
        trials.append(Trial(value, found, abs(found - surrogate)))
        return trials[-1].distance

    value, apart = start, start * spread
    for _ in range(steps):
        above = distance(value + apart)
        below = distance(max(value - apart, LEAST))
        value = max(start, value - rate * (above - below) / (2 * apart))
        if above < tolerance:
            break
    else:
        distance(value)
    best = min(trials, key=lambda each: each.distance)
    return best.value, trials


def probability(model: Any, tokenizer: Any, rows: Sequence[Example]) -> float:
    """Mean over the rows of a response's probability, to the power of one over its length."""
    found = score(model, rows)
    sums = torch.zeros(found.sequences, dtype=torch.float64)
    sums.index_add_(0, found.sequence, found.logps.double())
    lengths = torch.bincount(found.sequence, minlength=found.sequences)
    return float((sums / lengths).exp().mean())


def rouge_recall(model: Any, tokenizer: Any, rows: Sequence[Example]) -> float:
    """Mean over the rows of ROUGE-L recall of a greedy answer, as long as the longest response."""
    longest = max(len(each.response_ids) for each in rows)
    prompts = [each.prompt_ids for each in rows]
    answers = generate(model, tokenizer, prompts, max_new_tokens=longest)
    texts = [tokenizer.decode(list(e.response_ids), skip_special_tokens=True) for e in rows]
    pairs = zip(answers, texts, strict=True)
    found = torch.tensor([rouge(answer.text, text).recall for answer, text in pairs])
    return float(found.nanmean())  # a response without any word has no recall


def width_of(model: Any) -> int:
    """Dimensions of an embedding."""
    return int(model.get_input_embeddings().weight.shape[1])


METRICS: dict[str, Callable[[Any, Any, Sequence[Example]], float]] = {
    "probability": probability,
    "rougeL": rouge_recall,
}
"""What the search measures on rows with their responses."""
