"""The parts of docs/results.md that are made of the results."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import altair as alt
import vl_convert

from benchmarks.real.figures import APPLICATIONS
from benchmarks.real.methods import TITLES
from benchmarks.real.tables import Result, of, read_results, table
from benchmarks.real.variants import APPLICATION, NEGATED, VARIANTS
from unlearnkit.report.page import VEGA_LITE

DOCS = Path(__file__).parents[2] / "docs"
PAGE, PICTURE = DOCS / "results.md", DOCS / "images" / "selectivity.png"
STOPPED = {
    **{name: title for name, (title, _) in VARIANTS.items()},
    **{name: title for name, (title, _) in NEGATED.items()},
}
_PART = re.compile(r"(<!-- generated: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_KEPT = {"heldout": "held-out rows", "neighbour": "neighbours"}


def write(results: Path) -> None:
    """Writes tables and picture."""
    found = read_results(results)
    PAGE.write_text(generated(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    PICTURE.write_bytes(picture(of(found, APPLICATION)))


def generated(text: str, results: Sequence[Result]) -> str:
    """A page with its generated parts made anew."""
    return _PART.sub(lambda part: f"{part[1]}\n{_made(part[2], results)}\n\n{part[3]}", text)


def picture(results: Mapping[str, Sequence[Result]]) -> bytes:
    """Forgetting against what is kept, of all methods and variants, as PNG."""
    points = [
        {
            "method": title,
            "group": group,
            "kept": words,
            "forget": fmean(run["columns"]["forget"] for run in runs),
            "value": fmean(run["columns"][kind] for run in runs),
            **_bounds([run["columns"][kind] for run in runs]),
        }
        for group, titles in (("as in the table", TITLES), ("stopped at gold's NLL", STOPPED))
        for name, title in titles.items()
        if (runs := results.get(name))
        for kind, words in _KEPT.items()
    ]
    base = alt.Chart(alt.Data(values=points)).encode(
        x=alt.X("forget:Q", title="forget: ROUGE-L recall of the passages").scale(domain=[0, 1]),
        y=alt.Y("value:Q", title="kept: ROUGE-L recall").scale(domain=[0, 1.02]),
    )
    marks = base.mark_point(size=80, filled=True, opacity=0.85).encode(
        color=alt.Color("group:N", title=None).legend(orient="bottom")
    )
    names = base.mark_text(align="left", dx=7, fontSize=9).encode(text="method:N")
    bars = base.mark_rule(color="gray", opacity=0.6).encode(y="low:Q", y2="high:Q")
    panels = alt.layer(bars, marks, names).properties(width=640, height=440)
    spec = panels.facet(row=alt.Row("kept:N", title=None)).to_dict()
    shown = {**spec, "background": "white"}
    return vl_convert.vegalite_to_png(shown, vl_version=VEGA_LITE, scale=2)


def _bounds(values: Sequence[float]) -> dict[str, float]:
    off = stdev(values) if len(values) > 1 else 0.0
    return {"low": fmean(values) - off, "high": fmean(values) + off}


def _made(what: str, results: Sequence[Result]) -> str:
    makers: dict[str, Any] = {
        name: lambda n=name: table(of(results, n), TITLES) for name in APPLICATIONS
    }
    ends = {"gold": TITLES["gold"], **STOPPED}
    makers["selectivity"] = lambda: table(of(results, APPLICATION), ends)
    return makers[what]()
