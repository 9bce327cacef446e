"""Vega-Lite charts, each with a description for those who cannot see it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import altair as alt

from unlearnkit.metrics.base import FORGETTING
from unlearnkit.report.zoom import beyond, near, placed, remarks
from unlearnkit.suites.meaning import stored_role
from unlearnkit.verdict.values import MetricRow, headline

MODELS = ("before", "after", "gold")
_MOST_POINTS = 500
_MOST_ACROSS = 24  # measurements of an attack side by side; more stand below each other
_RATES = ("rougeL_recall", "extraction_strength", "exact_memorization")
_GOOD = {"down": "lower", "up": "higher", "zero": "nearest 0", "gold": "nearest gold"}
Spec = dict[str, Any]


class Chart(NamedTuple):
    """A chart and its caption."""

    caption: str
    spec: Spec


def trade_off(rows: Sequence[MetricRow]) -> Chart | None:
    """Forgetting against utility of the model before, after, and of the gold model."""
    forget = headline(rows, forgets=True)
    if forget is None:
        return None
    streams = dict.fromkeys(row.name.partition("/")[0] for row in rows if not row.meaning.forgets)
    kept = [
        headline([r for r in rows if r.name.startswith(f"{stream}/")], forgets=False)
        for stream in streams
    ]
    points = [
        {
            "model": when,
            "figure": row.name,
            "forget": forget.values[when].value,
            "utility": row.values[when].value,
            "forget_low": forget.values[when].bounds[0],
            "forget_high": forget.values[when].bounds[1],
            "low": row.values[when].bounds[0],
            "high": row.values[when].bounds[1],
        }
        for row in kept
        if row is not None
        for when in MODELS
        if when in row.values and when in forget.values
    ]
    if not points:
        return None
    shown, across, up = placed(points, ("before", "gold"))
    base = alt.Chart(alt.Data(values=shown)).encode(
        x=alt.X("x:Q", title=axis_title(forget)).scale(domain=across, zero=False, nice=False),
        y=alt.Y("y:Q", title="metric of utility").scale(domain=up, zero=False, nice=False),
        color=colour(MODELS),
        tooltip=tips("model:N", "figure:N", "forget:Q", "utility:Q"),
    )
    marks = (
        near(base)
        .mark_point(size=110, filled=True, opacity=1)
        .encode(
            shape=alt.Shape("figure:N", title=None, legend=alt.Legend(columns=1)).scale(
                domain=list(dict.fromkeys(point["figure"] for point in shown))
            )
        )
    )
    upright = near(base).mark_rule().encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
    level = near(base).mark_rule().encode(x=alt.X("forget_low:Q"), x2=alt.X2("forget_high:Q"))
    caption = (
        f"{forget.suite}: {axis_title(forget)}, against metrics of utility. Lines are 95 % "
        f"intervals.{remarks(shown)}"
    )
    return Chart(caption, finished(upright + level + marks + beyond(base), caption, 260))


def losses(
    lines: Sequence[Mapping[str, float]], objectives: Sequence[str], phase: str = ""
) -> list[Chart]:
    """A curve for the loss, for each objective, then for whatever else was logged.

    What has the same value in every step as another one shares its curve.
    """
    names = list(dict.fromkeys(name for line in lines for name in line))
    first = ["train/loss", *(f"train/{name}" for name in objectives)]
    wanted = [n for n in first if n in names]
    wanted += [n for n in names if n not in (*wanted, "step", "epoch")]
    curves: dict[tuple[tuple[float, float], ...], list[str]] = {}
    for name in wanted:
        curve = tuple(
            (line["step"], line[name])
            for line in lines
            if math.isfinite(line.get(name, math.nan)) and "step" in line
        )
        if curve:
            curves.setdefault(curve, []).append(name)
    found: list[Chart] = []
    for curve, (name, *same) in list(curves.items())[:24]:
        points = [{"step": step, "value": value} for step, value in curve]
        every = -(-len(points) // _MOST_POINTS)
        thinned = points[::every] if every > 1 else points
        what = "weighted sum of all objectives" if name == "train/loss" else name
        start, end = points[0]["value"], points[-1]["value"]
        if same:
            what = f"{what}, and the same of {', '.join(same)}"
        caption = f"{what}: {start:.4g} at the start, {end:.4g} at the end"
        if phase:
            caption = f"{phase}, {caption}"
        found.append(_curve(thinned, "step:Q", caption, 140, point=len(thinned) < 30, title="step"))
    return found


def heat_maps(rows: Sequence[Mapping[str, Any]], stored: Any = None) -> list[Chart]:
    """How much of each forget row is still recited, a map for each metric; 1 is all of it.

    Args:
        rows: Lines of ``rows.jsonl``.
        stored: ``metrics`` of ``summary.json``.
    """
    found: list[Chart] = []
    roles = {(r["suite"], r["stream"]): None for r in rows}
    forgets = [pair for pair in roles if stored_role(*pair, stored) in FORGETTING]
    forget = [row for row in rows if (row["suite"], row["stream"]) in forgets]
    for suite in dict.fromkeys(row["suite"] for row in forget):
        for name in _RATES:
            cells = [
                {
                    "row": f"{row['stream']} {row.get('row', 0)}",
                    "model": row["when"],
                    "value": row[name],
                }
                for row in forget
                if row["suite"] == suite and isinstance(row.get(name), int | float)
            ]
            if not cells:
                continue
            axis = alt.Axis(labels=False, ticks=False)
            chart = (
                alt.Chart(alt.Data(values=cells))
                .mark_rect()
                .encode(
                    x=alt.X("row:N", sort=None, title="forget rows", axis=axis),
                    y=alt.Y("model:N", sort=list(MODELS), title=None),
                    color=alt.Color("value:Q", title=None)
                    .scale(domain=[0, 1], scheme="viridis")
                    .legend(orient="bottom", gradientLength=160),
                    tooltip=tips("row:N", "model:N", "value:Q"),
                )
            )
            caption = f"{suite}: {name} of every forget row, 1 where all of it is recited"
            found.append(Chart(caption, finished(chart, caption, 90)))
    return found


def request_curves(curve: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """What each request left of every other, a chart for each metric.

    Args:
        curve: Values of the original model, then of that after each request.
    """
    names = dict.fromkeys(key for point in curve for key in point["figures"])
    order = [point["after"] or "original" for point in curve]
    found: list[Chart] = []
    for figure in dict.fromkeys(name.partition("/")[2] for name in names):
        points = [
            {
                "model": stream,
                "after": after,
                "value": point["figures"].get(f"{stream}/{figure}"),
            }
            for after, point in zip(order, curve, strict=True)
            for stream in dict.fromkeys(name.partition("/")[0] for name in names)
        ]
        points = [point for point in points if _is_number(point["value"])]
        models = list(dict.fromkeys(point["model"] for point in points))
        caption = f"{figure} of every request after each of them"
        x = {"title": "after request", "sort": order}
        found.append(_curve(points, "after:N", caption, 200, models=models, **x))
    return found


def attack_curves(attack: Mapping[str, Any]) -> list[Chart]:
    """How much each attack brings back, on the unlearned model and on the gold model."""
    curves = attack["curves"]
    first = next(iter(curves.values()))[0]
    by, *names = first
    found: list[Chart] = []
    for name in names:
        points = [
            {
                "model": model,
                "at": "as it is" if each[by] is None else each[by],
                "value": each[name],
            }
            for model, curve in curves.items()
            for each in curve
            if _is_number(each.get(name))
        ]
        if not points:
            continue
        numeric = all(isinstance(point["at"], int | float) for point in points)
        caption = f"{attack['attack']}: {name}, by {by}"
        if len(points) > _MOST_ACROSS * len(curves):
            found.append(_tall(points, list(curves), by, name, caption))
            continue
        x = {"title": by, "sort": None}
        shorthand = "at:Q" if numeric else "at:N"
        found.append(_curve(points, shorthand, caption, 150, models=list(curves), zero=None, **x))
    return found


def _tall(
    points: Sequence[Mapping[str, Any]], models: Sequence[str], by: str, name: str, caption: str
) -> Chart:
    """A line of points for each of many measurements, one below the other."""
    chart = alt.Chart(alt.Data(values=points), mark="circle").encode(
        y=alt.Y("at:N", title=by, sort=None).axis(labelLimit=320),
        x=alt.X("value:Q", title=name),
        color=colour(models),
        tooltip=tips("model:N", "at:N", "value:Q"),
    )
    return Chart(caption, finished(chart, caption, 14 * (len(points) // len(models))))


def _curve(
    points: Sequence[Mapping[str, Any]],
    x: str,
    caption: str,
    height: int,
    *,
    models: Sequence[str] = (),
    zero: bool | None = False,
    point: bool = True,
    **axis: Any,
) -> Chart:
    """A line of values over ``x``, for each model one."""
    y = alt.Y("value:Q", title=None)
    encoded = (
        alt.Chart(alt.Data(values=points))
        .mark_line(point=point)
        .encode(
            x=alt.X(x, **axis),
            y=y if zero is None else y.scale(zero=zero),
            tooltip=tips(*(["model:N"] if models else []), x, "value:Q"),
        )
    )
    chart = encoded.encode(color=colour(models)) if models else encoded
    return Chart(caption, finished(chart, caption, height))


def token_chart(models: Sequence[str]) -> Chart:
    """The frame for the log-probabilities of a row's tokens; the page fills it in."""
    chart = (
        alt.Chart(alt.Data(values=[]))
        .mark_line(point=True)
        .encode(
            x=alt.X("position:Q", title="token of the true text").axis(tickMinStep=1),
            y=alt.Y("logp:Q", title="log-probability, nats"),
            color=colour(models),
            tooltip=tips("token:N", "model:N", "logp:Q"),
        )
    )
    caption = (
        "Log-probability of each token of the true text, given all true tokens before it: 0 where "
        "the model is sure of it. The table below holds the values."
    )
    return Chart(caption, finished(chart, caption, 220))


def axis_title(row: MetricRow) -> str:
    """The metric's name, and which values are good."""
    return f"{row.name}, {_GOOD[row.direction or 'gold']} is better"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def colour(models: Sequence[str]) -> Any:
    """The same colour for a model in every chart."""
    return alt.Color("model:N", title=None, sort=list(models)).scale(domain=list(models))


def tips(*shorthands: str) -> list[alt.Tooltip]:
    """What is shown under the pointer. Altair goes through its whole schema for each bare name."""
    return [alt.Tooltip(each) for each in shorthands]


def finished(chart: Any, description: str, height: int) -> Spec:
    """The specification, as wide as its place and described for those who cannot see it."""
    whole = chart.properties(width="container", height=height, description=description)
    # Validation against Vega-Lite's schema takes longer than all the rest; tests do it.
    return whole.configure_view(strokeOpacity=0).to_dict(validate=False)
