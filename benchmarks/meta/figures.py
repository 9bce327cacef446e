"""Pure figures of a metric, from its values of the models."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean, variance

import torch

from unlearnkit.functional import membership

Interval = tuple[float, float]
_Z = 1.959963984540054  # of a 95 % interval


def auc(knows: Sequence[float], others: Sequence[float]) -> float:
    """Probability that a model that knows scores higher than one that does not, ties half."""
    return membership.auc(*(torch.tensor(each, dtype=torch.double) for each in (others, knows)))


def auc_interval(value: float, knows: int, others: int) -> Interval:
    """95 % interval of an AUC: the areas that the found one does not refute.

    The variance under a supposed area is that of Hanley and McNeil 1982. Unlike DeLong's and the
    bootstrap's, the interval has a width also where no pair is out of order.

    Args:
        value: The area that was found.
        knows: Number of models that know.
        others: Number of those that do not.
    """
    from scipy.optimize import brentq  # Here: its import takes a second, and few need it.

    def beyond(area: float) -> float:
        spread = area * (1 - area)
        more = (knows - 1) * (1 - area) / (2 - area) + (others - 1) * area / (1 + area)
        return (value - area) ** 2 - _Z**2 * spread * (1 + more) / (knows * others)

    inside = min(max(value, 1e-9), 1 - 1e-9)
    low = 0.0 if value <= 0 else float(brentq(beyond, 0.0, inside))  # pyright: ignore
    high = 1.0 if value >= 1 else float(brentq(beyond, inside, 1.0))  # pyright: ignore
    return low, high


def relearning(before: float, after: float, gold_before: float, gold_after: float) -> float:
    """R: what relearning gives the gold model, over what it gives the unlearned one; at most 1.

    Args:
        before: Value of the unlearned model, high where a model knows.
        after: The same after relearning.
        gold_before: Value of the gold model.
        gold_after: The same after relearning.

    Returns:
        A share in [0, 1]: 1 where the unlearned model gains no more than gold, 0 where gold gains
        nothing.
    """
    gained, by_gold = after - before, max(gold_after - gold_before, 0.0)
    return 1.0 if gained <= by_gold else by_gold / gained


def quantisation(before: float, after: float, high_knows: bool = True) -> float | None:
    """Q: what coarse weights leave of the value, at most 1.

    Args:
        before: Value of the model as it is.
        after: The same with coarse weights.
        high_knows: Whether a high value tells of knowledge; otherwise the ratio is turned over.

    Returns:
        A share in [0, 1]; None where a ratio means nothing, for values of two signs.
    """
    one, two = (after, before) if high_knows else (before, after)
    if one < 0 or two < 0:
        one, two = (-two, -one) if one <= 0 and two <= 0 else (math.nan, math.nan)
    if math.isnan(one):
        return None
    return 1.0 if one >= two else one / two


def harmonic(one: float | None, two: float | None) -> float | None:
    """Harmonic mean of two shares; 0 if one is, None if one is unknown."""
    if one is None or two is None:
        return None
    return 2 * one * two / (one + two) if one + two > 0 else 0.0


def noise(by_kind: Mapping[str, Sequence[float]], knows: float, others: float) -> float | None:
    """Standard deviation over seeds, pooled over kinds, as a share of the halves' distance.

    Args:
        by_kind: Values of each kind's models, which differ by the seed alone.
        knows: Mean value of the models that know.
        others: Mean value of those that do not.

    Returns:
        None if no kind has two models, or the halves do not differ.
    """
    several = [each for each in by_kind.values() if len(each) > 1]
    freedom = sum(len(each) - 1 for each in several)
    if not freedom or knows == others:
        return None
    pooled = sum((len(each) - 1) * variance(each) for each in several) / freedom
    return math.sqrt(pooled) / abs(knows - others)


def mean(values: Sequence[float | None]) -> float | None:
    """Mean of the known values; None if there are none."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def rank_correlation(x: Sequence[float], y: Sequence[float]) -> tuple[float, Interval]:
    """Spearman's rank correlation with its 95 % interval by Fisher's transform.

    The standard error is that of Bonett and Wright 2000.
    """
    from scipy.stats import spearmanr

    value = float(spearmanr(x, y).statistic)  # pyright: ignore
    if len(x) < 4 or abs(value) >= 1 or math.isnan(value):
        return value, (math.nan, math.nan)
    half = _Z * math.sqrt((1 + value**2 / 2) / (len(x) - 3))
    centre = math.atanh(value)
    return value, (math.tanh(centre - half), math.tanh(centre + half))
