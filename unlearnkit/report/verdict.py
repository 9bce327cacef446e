"""One sentence on what a run forgot and what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from unlearnkit.report.values import MetricRow, headline


def verdict(metrics: Mapping[str, Sequence[MetricRow]]) -> str:
    """One sentence on forgetting and its cost, with values and 95 % intervals.

    Forgotten to the level of the gold model means that every metric of forgetting of every suite
    that the gold model was measured on is near the gold model's.
    """
    rows = [row for each in metrics.values() for row in each]
    measured = [row for row in rows if {"before", "after"} <= row.values.keys()]
    main = headline(measured, forgets=True)
    if main is None:
        return (
            "Whether anything was forgotten cannot be judged: no suite measured it before and "
            "after."
        )
    return f"{_forgotten(rows, main)}; {_cost(measured)}."


def _forgotten(rows: Sequence[MetricRow], main: MetricRow) -> str:
    before, after = main.values["before"], main.values["after"]
    change = f"{main.name} went from {before} to {after}"
    judged = [row for row in rows if row.meaning.judges_forgetting and row.at_gold() is not None]
    if not judged:
        return (
            f"{change}; how far that is from never having seen the data cannot be judged, for "
            "there is no gold model"
        )
    gold = f" (gold model {main.values['gold']})" if "gold" in main.values else ""
    apart = [row for row in judged if not row.at_gold()]
    if not apart:
        return (
            f"Forgotten to the level of the gold model by all {len(judged)} figures: {change}{gold}"
        )
    worst = apart[0]
    how = "beyond the" if "before" in worst.values and worst.beyond_gold() else "against"
    which = (
        f"{worst.name} is {worst.values['after']} {how} {worst.values['gold']} of the gold model"
    )
    if len(apart) == len(judged):
        return f"Not forgotten to the level of the gold model: {change}{gold}, and {which}"
    return (
        f"Forgotten to the level of the gold model by {len(judged) - len(apart)} of "
        f"{len(judged)} figures only: {change}{gold}, but {which}"
    )


def _cost(measured: Sequence[MetricRow]) -> str:
    kept = [r for r in measured if not r.meaning.forgets and r.direction is not None]
    if not kept:
        return "what it cost was not measured"
    worse = [row for row in kept if row.worse_than_before()]
    if not worse:
        main = headline(kept, forgets=False) or kept[0]
        return (
            f"no figure of utility is measurably worse ({main.name} {main.values['before']} "
            f"before, {main.values['after']} after)"
        )
    metric = (headline(worse, forgets=False) or worse[0]).metric
    main = max((row for row in worse if row.metric == metric), key=MetricRow.change)
    return (
        f"{len(worse)} of {len(kept)} figures of utility are measurably worse, among them "
        f"{main.name}, {main.values['before']} before and {main.values['after']} after"
    )
