"""The parts of docs/results.md that are made of the results."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import altair as alt
import vl_convert

from benchmarks.real import published
from benchmarks.real.figures import APPLICATIONS, answered
from benchmarks.real.methods import TITLES
from benchmarks.real.selective import SELECTIVE
from benchmarks.real.tables import of, table
from benchmarks.real.variants import APPLICATION, EXACT, IN_FLOAT32, NEGATED, VARIANTS
from benchmarks.stored import Result, Results
from unlearnkit.report.bundle import VEGA_LITE

DOCS = Path(__file__).parents[2] / "docs"
PAGE, PICTURE = DOCS / "results.md", DOCS / "images" / "selectivity.png"
STOPPED = {
    **{name: title for name, (title, _) in VARIANTS.items()},
    **{name: title for name, (title, _) in NEGATED.items()},
}
GROUPS = {"as many steps for all": TITLES, "stopped at the gold model's NLL": STOPPED}
_MORE = {"forget/exact_memorization": "Exact memorisation ↓"}
_ANSWERED = {
    "trained/answered": "Polite answers to the request ↑",
    "unseen/answered": "Of unseen requests ↑",
}
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_FORGOTTEN = {
    "rougeL_recall": "recited: ROUGE-L recall of the passages",
    "exact_memorization": "known: true tokens that are the likeliest, given those before",
}
_KEPT = {"heldout": "held-out rows, ROUGE-L recall", "neighbour": "neighbours, ROUGE-L recall"}


def write(results: Results) -> None:
    """Writes tables and picture."""
    found = results.all()
    PAGE.write_text(generated(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    PICTURE.write_bytes(picture(of(found, APPLICATION)))


def generated(text: str, results: Sequence[Result]) -> str:
    """A page with its generated parts made anew."""
    return _PART.sub(lambda part: f"{part[1]}\n{_made(part[2], results)}\n\n{part[3]}", text)


def picture(results: Mapping[str, Sequence[Result]]) -> bytes:
    """Forgetting against what is kept, of all methods and variants, as PNG."""
    known = [
        (group, title, results[name])
        for group, titles in GROUPS.items()
        for name, title in titles.items()
        if name in results
    ]
    points = [
        {
            "number": number,
            "group": group,
            "name": f"{number}  {title}",
            "kept": kind,
            "value": fmean(run["columns"][kind] for run in runs),
            **{key: fmean(run["figures"][f"forget/{key}"] for run in runs) for key in _FORGOTTEN},
            **_bounds([run["columns"][kind] for run in runs]),
        }
        for number, (group, title, runs) in enumerate(known, 1)
        for kind in _KEPT
    ]
    data = alt.Data(values=points)
    colour = alt.Color("group:N", title=None, sort=list(GROUPS))
    rows = [
        alt.hconcat(*(_panel(data, kind, forgotten, colour) for forgotten in _FORGOTTEN))
        for kind in _KEPT
    ]
    names = (
        alt.Chart(data)
        .transform_filter("datum.kept === 'neighbour'")
        .mark_text(align="left", fontSize=11)
        .encode(y=alt.Y("number:O", axis=None), text="name:N", color=colour, x=alt.value(0))
        .properties(width=270, height=16 * len(known))
    )
    whole = alt.hconcat(alt.vconcat(*rows), names).configure_view(stroke=None)
    shown = {**whole.to_dict(), "background": "white"}
    return vl_convert.vegalite_to_png(shown, vl_version=VEGA_LITE, scale=1.5)


def _panel(data: Any, kind: str, forgotten: str, colour: Any) -> Any:
    # Most points are near 0, some at it: a root spreads them out, and a logarithm has no 0.
    scale = alt.Scale(type="sqrt", domain=[0, 1])
    base = (
        alt.Chart(data)
        .transform_filter(f"datum.kept === '{kind}'")
        .encode(
            x=alt.X(f"{forgotten}:Q", title=_FORGOTTEN[forgotten], scale=scale),
            y=alt.Y("value:Q", title=_KEPT[kind]).scale(domain=[0, 1.04], nice=False),
        )
    )
    marks = base.mark_point(size=210, filled=True, opacity=0.85).encode(
        color=colour.legend(orient="bottom")
    )
    numbers = base.mark_text(fontSize=10, color="white").encode(text="number:N")
    bars = base.mark_rule(color="gray").encode(y="low:Q", y2="high:Q")
    return alt.layer(bars, marks, numbers).properties(width=430, height=300)


def _bounds(values: Sequence[float]) -> dict[str, float]:
    off = stdev(values) if len(values) > 1 else 0.0
    return {"low": fmean(values) - off, "high": fmean(values) + off}


def _made(what: str, results: Sequence[Result]) -> str:
    makers: dict[str, Any] = {
        name: lambda n=name: table(of(results, n), TITLES) for name in APPLICATIONS
    }
    ends = {name: TITLES[name] for name in ("taught", "gold")} | STOPPED
    makers["selectivity"] = lambda: table(of(results, APPLICATION), ends, _MORE)
    exact = {name: TITLES[name] for name in ("taught", "gold")}
    exact |= {name: title for name, (title, _) in EXACT.items()}
    makers[IN_FLOAT32] = lambda: table(of(results, IN_FLOAT32), exact, _MORE)
    makers[published.APPLICATION] = lambda: published.table(results)
    for name, variants in SELECTIVE.items():
        titles = {each: TITLES[each] for each in ("taught", "gold", "llmu", "finetune")}
        titles |= {each: title for each, (title, *_) in variants.items()}
        more = _ANSWERED if name == "harmful" else None
        makers[f"{name}_selective"] = lambda n=name, t=titles, m=more: table(
            _with_answered(of(results, n)), t, m
        )
    return makers[what]()


def _with_answered(runs: Mapping[str, list[Result]]) -> dict[str, list[Result]]:
    """The runs with that figure, where their answers were kept."""
    return {name: [_answered(run) for run in some] for name, some in runs.items()}


def _answered(run: Result) -> Result:
    found = {
        f"{stream}/answered": fmean(answered(row) for row in rows)
        for stream in ("trained", "unseen")
        if (rows := [row for row in run.get("answers", []) if row["stream"] == stream])
    }
    return {**run, "figures": {**run["figures"], **found}}
