"""Report of a comparison: forgetting against utility of several recipes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import altair as alt
import vl_convert

from unlearnkit.report.bundle import VEGA_LITE
from unlearnkit.report.charts import Chart, axis_title, finished, tips
from unlearnkit.report.page import Charts, embedded, render
from unlearnkit.report.zoom import beyond, near, placed, remarks
from unlearnkit.suites.meaning import Meaning
from unlearnkit.verdict.values import MetricRow, headline, is_known, number

_PICTURE_WIDTH = 640


@dataclass(frozen=True)
class Spread:
    """A metric over seeds: mean, and standard deviation of the sample if there are several."""

    mean: float
    deviation: float | None = None

    def __str__(self) -> str:
        if self.deviation is None:
            return number(self.mean)
        return f"{number(self.mean)} ± {number(self.deviation)}"


@dataclass(frozen=True)
class Compared:
    """A recipe, or a model beside it, with its metrics by ``<suite>/<stream>/<metric>``."""

    name: str
    seeds: int
    metrics: Mapping[str, Spread]
    verdicts: Sequence[str] = ()
    """The verdicts on its runs, each once."""


class Line(NamedTuple):
    """A line of a comparison: a metric by its address.

    Args:
        label: How it is called where it is shown.
        meaning: What its values say.
        best: Names of the best columns.
    """

    label: str
    meaning: Meaning
    best: Sequence[str] = ()


def comparison_report(
    columns: Sequence[Compared], lines: Mapping[str, Line], notes: Sequence[str] = ()
) -> str:
    """The page, as HTML.

    Args:
        columns: What is compared.
        lines: The metrics by address, in their order.
        notes: Why values cannot be compared, or are missing, a sentence each.
    """
    places = Charts()
    return render(
        "comparison.html.j2",
        columns=columns,
        lines=lines,
        notes=notes,
        judged=any(column.verdicts for column in columns),
        several=any(column.seeds > 1 for column in columns),
        trade_offs=places.place(trade_offs(columns, lines)),
        specs=places.specs,
    )


def picture(
    columns: Sequence[Compared], lines: Mapping[str, Line], form: str = "png"
) -> bytes | None:
    """Forgetting against utility, one panel per suite; None if no suite measures both.

    Args:
        columns: What is compared.
        lines: The metrics by address.
        form: ``png``, ``pdf`` or ``svg``.
    """
    specs = [chart.spec | {"width": _PICTURE_WIDTH} for chart in trade_offs(columns, lines)]
    if not specs:
        return None
    whole = specs[0]
    if len(specs) > 1:
        shared = {key: whole[key] for key in ("$schema", "config")}
        dropped = (*shared, "description")
        panels = [{k: v for k, v in spec.items() if k not in dropped} for spec in specs]
        whole = {**shared, "vconcat": panels, "resolve": {"scale": {"color": "shared"}}}
    shown = {**embedded(whole), "background": "white"}
    if form == "pdf":
        return vl_convert.vegalite_to_pdf(shown, vl_version=VEGA_LITE)
    if form == "svg":
        return vl_convert.vegalite_to_svg(shown, vl_version=VEGA_LITE).encode()
    return vl_convert.vegalite_to_png(shown, vl_version=VEGA_LITE, scale=2)


def trade_offs(columns: Sequence[Compared], lines: Mapping[str, Line]) -> list[Chart]:
    """A chart for each suite and stream of utility; bars are one standard deviation."""
    found: list[Chart] = []
    by_suite: dict[str, list[MetricRow]] = {}
    for address, line in lines.items():
        suite, _, name = address.partition("/")
        by_suite.setdefault(suite, []).append(MetricRow(suite, name, line.meaning, {}))
    for able in by_suite.values():
        forget = headline(able, forgets=True)
        for stream in dict.fromkeys(row.name.partition("/")[0] for row in able):
            part = [row for row in able if row.name.startswith(f"{stream}/")]
            kept = headline(part, forgets=False)
            if forget is not None and kept is not None:
                points = _points(columns, forget, kept)
                if points:
                    found.append(_chart(points, forget, kept))
    return found


def _points(columns: Sequence[Compared], x: MetricRow, y: MetricRow) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for column in columns:
        across = column.metrics.get(f"{x.suite}/{x.name}")
        up = column.metrics.get(f"{y.suite}/{y.name}")
        if across and up and is_known(across.mean) and is_known(up.mean):
            x_off, y_off = across.deviation or 0.0, up.deviation or 0.0
            found.append(
                {
                    "model": column.name,
                    "forget": across.mean,
                    "forget_low": across.mean - x_off,
                    "forget_high": across.mean + x_off,
                    "utility": up.mean,
                    "low": up.mean - y_off,
                    "high": up.mean + y_off,
                }
            )
    return found


def _chart(points: Sequence[Mapping[str, Any]], forget: MetricRow, kept: MetricRow) -> Chart:
    shown, across, up = placed(points, ("before", "gold"))
    base = alt.Chart(alt.Data(values=shown)).encode(
        x=alt.X("x:Q", title=axis_title(forget)).scale(domain=across, zero=False, nice=False),
        y=alt.Y("y:Q", title=axis_title(kept)).scale(domain=up, zero=False, nice=False),
        tooltip=tips("model:N", "forget:Q", "utility:Q"),
    )
    names = [point["model"] for point in shown]
    colour = alt.Color("model:N", title=None, sort=None).scale(domain=names)
    # The shape too, for many recipes and for eyes that tell few colours apart.
    marks = (
        near(base)
        .mark_point(size=110, filled=True, opacity=1)
        .encode(color=colour, shape=alt.Shape("model:N", title=None, sort=None).scale(domain=names))
    )
    upright = near(base).mark_rule(color="gray").encode(y=alt.Y("low:Q"), y2=alt.Y2("high:Q"))
    level = (
        near(base)
        .mark_rule(color="gray")
        .encode(x=alt.X("forget_low:Q"), x2=alt.X2("forget_high:Q"))
    )
    caption = f"{forget.suite}: {forget.name} against {kept.name}. Bars are one standard deviation."
    caption += remarks(shown)
    layers = upright + level + marks + beyond(base.encode(color=colour))
    return Chart(caption, finished(layers, caption, 300))
