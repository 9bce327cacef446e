"""Judges metrics by what they say of the zoo's models."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from statistics import fmean
from typing import Any

from benchmarks.meta.figures import (
    auc,
    auc_interval,
    harmonic,
    mean,
    noise,
    quantisation,
    rank_correlation,
    relearning,
)
from benchmarks.meta.readings import Reading, restricted
from benchmarks.meta.tested import Candidate
from benchmarks.meta.zoo import AS_IS, BEFORE, COARSE, GOLD, OTHERS, RELEARNED, Member
from unlearnkit.metrics import ExactMemorization

Read = Callable[[Member, str], Reading]
Values = Mapping[Member, float]


def judged(metric: Candidate, members: Sequence[Member], read: Read) -> dict[str, Any]:
    """Faithfulness, robustness, noise and cost of a metric.

    Args:
        metric: The metric.
        members: Models of the zoo.
        read: Gives the reading of a model in a state.
    """
    gold, before = read(GOLD, AS_IS), read(BEFORE, AS_IS)
    halves = [m for m in members if m.made.half in ("knows", "does not")]
    values = {m: metric.value(read(m, AS_IS), gold, before) for m in halves}
    known: Values = {m: metric.knowledge(v) for m, v in values.items() if v is not None}
    found: dict[str, Any] = {"without": len(halves) - len(known), **faithfulness(known)}
    unlearned = [m for m in members if m.made.half == "unlearned"]
    r = mean([relearned(metric, m, read) for m in unlearned])
    q = mean([made_coarse(metric, m, read) for m in unlearned])
    costs = [metric.cost(read(m, AS_IS), gold, before) for m in halves]
    return found | {"r": r, "q": q, "robustness": harmonic(r, q), "seconds": mean(costs)}


def faithfulness(known: Values) -> dict[str, Any]:
    """How well values tell models that know from those that do not, and how they vary by seed.

    Args:
        known: Values of both halves, high where a model knows.
    """
    knows = [value for member, value in known.items() if member.made.half == "knows"]
    others = [value for member, value in known.items() if member.made.half == "does not"]
    if not knows or not others:
        return {}
    area = auc(knows, others)
    return {
        "faithfulness": area,
        "interval": auc_interval(area, len(knows), len(others)),
        "noise": noise(_by_kind(known), fmean(knows), fmean(others)),
    }


def relearned(metric: Candidate, member: Member, read: Read) -> float | None:
    """R of one unlearned model, on the facts that the attacker did not see."""
    gold, before = (restricted(read(m, AS_IS), OTHERS) for m in (GOLD, BEFORE))
    values = [
        metric.value(restricted(read(m, state), OTHERS), gold, before)
        for m in (member, GOLD)
        for state in (AS_IS, RELEARNED)
    ]
    known = [metric.knowledge(value) for value in values if value is not None]
    return relearning(*known) if len(known) == len(values) else None


def made_coarse(metric: Candidate, member: Member, read: Read) -> float | None:
    """Q of one unlearned model."""
    gold, before = read(GOLD, AS_IS), read(BEFORE, AS_IS)
    one, two = (metric.value(read(member, state), gold, before) for state in (AS_IS, COARSE))
    if one is None or two is None:
        return None
    return quantisation(one, two, metric.high_knows)


def depth_and_relearning(members: Sequence[Member], read: Read) -> dict[str, Any]:
    """Rank correlation of the depth score with what relearning brings back.

    That is exact memorisation of facts that the attacker did not see, after relearning, minus the
    gold model's.
    """
    exact = Candidate("exact_memorization", ExactMemorization, {})
    gold, before = (restricted(read(m, AS_IS), OTHERS) for m in (GOLD, BEFORE))

    def after(member: Member) -> float:
        found = exact.value(restricted(read(member, RELEARNED), OTHERS), gold, before)
        assert found is not None
        return found

    scores: list[float] = []
    gaps: list[float] = []
    for member in members:
        depth = mean(read(member, AS_IS)["depth"])
        if depth is not None:
            scores.append(depth)
            gaps.append(after(member) - after(GOLD))
    value, interval = rank_correlation(scores, gaps)
    return {"correlation": value, "interval": interval, "models": len(scores)}


def _by_kind(values: Values) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for member, value in values.items():
        found.setdefault(member.kind, []).append(value)
    return found
