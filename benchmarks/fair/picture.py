"""The pictures of the fair table: ``python -m benchmarks.fair.picture``."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.fair.running import KEY
from benchmarks.fair.table import DISTANCE, NEIGHBOURS, RESULTS, keeps, read_rows
from benchmarks.stored import Results

PICTURES = Path(__file__).parents[2] / "docs" / "images"


def picture(path: Path = RESULTS) -> str:
    """Distance to gold against what neighbours keep, a point a method."""
    import altair as alt
    import vl_convert

    stages, rows = read_rows(path)
    points: list[dict[str, Any]] = [
        {"name": name, "kind": "stage", "d": stages[name][DISTANCE], "n": stages[name][NEIGHBOURS]}
        for name in ("before", "gold")
    ]
    points += [
        {
            "name": row.name,
            "kind": "keeps both bounds" if keeps(row, stages["before"]) else "breaks a bound",
            "d": fmean(row.values(DISTANCE)),
            "n": fmean(row.values(NEIGHBOURS)),
        }
        for row in rows
    ]
    base = alt.Chart(alt.Data(values=points)).encode(
        x=alt.X("d:Q", title="D to gold, unseen wordings (left is nearer)"),
        y=alt.Y("n:Q", title="ROUGE-L of neighbours"),
        color=alt.Color("kind:N", title=None, scale=alt.Scale(
            domain=["stage", "keeps both bounds", "breaks a bound"],
            range=["#555555", "#1b7f4b", "#b3541e"])),
    )  # fmt: skip
    words = base.mark_text(align="left", dx=7, fontSize=11).encode(text="name:N")
    chart = (base.mark_point(filled=True, size=70) + words).properties(width=620, height=380)
    return vl_convert.vegalite_to_svg(chart.to_json())


def depth_picture(path: Path = RESULTS) -> str:
    """How much comes back of each method's model, with the interval over cells."""
    import altair as alt
    import vl_convert

    stages, rows = read_rows(path)
    kept = {row.name: "yes" if keeps(row, stages["before"]) else "no" for row in rows}
    points = [
        {
            "name": f"{line['method']}, seed {line['number']}"
            if line["method"] in kept
            else "before unlearning",
            "value": line["comes back"],
            "low": line["comes back, 2.5 %"],
            "high": line["comes back, 97.5 %"],
            "kept": kept.get(line["method"], "-"),
        }
        for line in Results(path, KEY).all()
        if line["kind"] == "depth"
    ]
    base = alt.Chart(alt.Data(values=points)).encode(
        y=alt.Y("name:N", title=None, sort=alt.EncodingSortField("value")),
        color=alt.Color("kept:N", title="keeps both bounds", scale=alt.Scale(
            domain=["yes", "no", "-"], range=["#1b7f4b", "#b3541e", "#555555"])),
    )  # fmt: skip
    title = "comes back: exact memorisation over gold, mean over attacks"
    bars = base.mark_rule(strokeWidth=2).encode(
        x=alt.X("low:Q", title=title, scale=alt.Scale(zero=True)), x2="high:Q"
    )
    dots = base.mark_point(filled=True, size=70).encode(x="value:Q")
    chart = (bars + dots).properties(width=560, height=alt.Step(24))
    return vl_convert.vegalite_to_svg(chart.to_json())


if __name__ == "__main__":
    (PICTURES / "fair.svg").write_text(picture(), encoding="utf-8")
    (PICTURES / "depth.svg").write_text(depth_picture(), encoding="utf-8")
