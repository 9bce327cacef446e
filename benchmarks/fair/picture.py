"""The picture of docs/fair.md: ``python -m benchmarks.fair.picture``."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.fair.table import DISTANCE, NEIGHBOURS, RESULTS, keeps, read_rows

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "fair.svg"


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


if __name__ == "__main__":
    PICTURE.write_text(picture(), encoding="utf-8")
