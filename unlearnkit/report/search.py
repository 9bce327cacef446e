"""Report of a search: trials, importances, and the chosen recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt

from unlearnkit.report.charts import Chart, finished, tips
from unlearnkit.report.page import Charts, render
from unlearnkit.verdict.values import number


class TrialPoint(NamedTuple):
    """A trial, as the page shows it.

    Args:
        number: Its number.
        settings: What it was run with.
        distance: To the targets; None if it was ended early.
        broken: Sum of what it breaks of the bounds; 0 if it keeps all.
        best: Whether it is the chosen one.
        pareto: Whether no trial beats it in both.
    """

    number: int
    settings: Mapping[str, Any]
    distance: float | None
    broken: float
    best: bool
    pareto: bool

    @property
    def kind(self) -> str:
        """What the picture calls it."""
        if self.best:
            return "chosen"
        if self.broken > 0:
            return "breaks a bound"
        return "on the Pareto front" if self.pareto else "keeps all bounds"


class MetricLine(NamedTuple):
    """A metric that the search aimed at.

    Args:
        name: Its address.
        aim: The level, as the recipe writes it.
        cells: Printed values: before, gold, of the chosen trial on choosing rows; before, gold, of
            the runs on reporting rows.
    """

    name: str
    aim: str
    cells: Sequence[str]


def search_report(
    trials: Sequence[TrialPoint],
    importances: Mapping[str, float],
    lines: Sequence[MetricLine],
    *,
    recipe: str,
    seeds: int,
) -> str:
    """The page, as HTML.

    Args:
        trials: All trials that ended.
        importances: Share of each setting in the distance.
        lines: The metrics that were aimed at.
        recipe: Name of the recipe.
        seeds: Runs of the chosen recipe.
    """
    places = Charts()
    best = next(each for each in trials if each.best)
    return render(
        "search.html.j2",
        recipe=recipe,
        trials=sorted(trials, key=lambda t: (t.distance is None, t.broken, t.distance or 0.0)),
        best=best,
        lines=lines,
        seeds=seeds,
        charts=places.place([_pareto(trials), _history(trials), _importances(importances)]),
        specs=places.specs,
    )


def spread(values: Sequence[float | None]) -> str:
    """Mean and standard deviation over runs.

    Example:
        >>> spread([0.25, 0.75]), spread([0.5]), spread([None])
        ('0.500 ± 0.354', '0.500', '–')
    """
    known = [each for each in values if each is not None]
    if not known:
        return number(None)
    mean = sum(known) / len(known)
    if len(known) == 1:
        return number(mean)
    deviation = (sum((each - mean) ** 2 for each in known) / (len(known) - 1)) ** 0.5
    return f"{number(mean)} ± {number(deviation)}"


def _pareto(trials: Sequence[TrialPoint]) -> Chart | None:
    points = _points(trials)
    if not points:
        return None
    chart = (
        alt.Chart(alt.Data(values=points))
        .mark_point(size=80, filled=True)
        .encode(
            x=alt.X("distance:Q", title="distance to the targets, lower is better"),
            y=alt.Y("broken:Q", title="by how much bounds are broken"),
            color=alt.Color("kind:N", title=None),
            shape=alt.Shape("kind:N", title=None),
            tooltip=tips("trial:Q", "distance:Q", "broken:Q"),
        )
    )
    caption = "All complete trials: distance 1 is the starting model, 0 is at every target."
    return Chart(caption, finished(chart, caption, 260))


def _history(trials: Sequence[TrialPoint]) -> Chart | None:
    nearest: list[dict[str, Any]] = []
    for each in sorted(trials, key=lambda t: t.number):
        if each.distance is not None and each.broken == 0:
            lowest = min(each.distance, nearest[-1]["distance"]) if nearest else each.distance
            nearest.append({"trial": each.number, "distance": lowest})
    if not nearest:
        return None
    chart = (
        alt.Chart(alt.Data(values=nearest))
        .mark_line(interpolate="step-after", point=True)
        .encode(
            x=alt.X("trial:Q", title="trial").axis(tickMinStep=1),
            y=alt.Y("distance:Q", title="nearest so far").scale(zero=False),
            tooltip=tips("trial:Q", "distance:Q"),
        )
    )
    caption = "The nearest trial so far that keeps all bounds."
    return Chart(caption, finished(chart, caption, 160))


def _importances(importances: Mapping[str, float]) -> Chart | None:
    if not importances:
        return None
    values = [{"setting": name, "share": share} for name, share in importances.items()]
    chart = (
        alt.Chart(alt.Data(values=values))
        .mark_bar()
        .encode(
            x=alt.X("share:Q", title="share of the distance"),
            y=alt.Y("setting:N", sort="-x", title=None).axis(labelLimit=260),
            tooltip=tips("setting:N", "share:Q"),
        )
    )
    caption = "How much each setting mattered (PED-ANOVA, arXiv 2304.10255)."
    return Chart(caption, finished(chart, caption, 30 * len(values) + 20))


def _points(trials: Sequence[TrialPoint]) -> list[dict[str, Any]]:
    return [
        {"trial": t.number, "distance": t.distance, "broken": t.broken, "kind": t.kind}
        for t in trials
        if t.distance is not None
    ]
