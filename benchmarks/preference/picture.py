"""The picture of the costs: ``python -m benchmarks.preference.picture``."""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.preference.methods import METHODS
from benchmarks.preference.table import RESULTS, cost, read_rows

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "preference.svg"
PARTS = {
    "reward model": {"policy": False},
    "policy, sampling included": {"reward": False},
}


def bars(path: Path = RESULTS) -> list[dict[str, Any]]:
    """CPU seconds of each part of each method, the mean over seeds that reached the goal."""
    found: list[dict[str, Any]] = []
    for row in read_rows(path):
        done = [line for line in row.seeds.values() if line["reached"]]
        for part, chosen in PARTS.items() if done else ():
            seconds = fmean(cost(line, "cpu", **chosen) for line in done)
            found.append({"name": METHODS[row.name].title, "part": part, "seconds": seconds})
    return found


def dots(path: Path = RESULTS) -> list[dict[str, Any]]:
    """CPU seconds of each seed that reached the goal."""
    return [
        {"name": METHODS[row.name].title, "seconds": cost(line, "cpu")}
        for row in read_rows(path)
        for line in row.seeds.values()
        if line["reached"]
    ]


def picture(path: Path = RESULTS) -> str:
    """A bar a method, in parts, with a dot a seed."""
    import altair as alt
    import vl_convert

    names = list(dict.fromkeys(bar["name"] for bar in bars(path)))
    name = alt.Y("name:N", title=None, sort=names)
    title = "CPU seconds until the goal, everything that is trained or sampled"
    drawn = (
        alt.Chart(alt.Data(values=bars(path)))
        .mark_bar()
        .encode(
            y=name,
            x=alt.X("sum(seconds):Q", title=title),
            color=alt.Color("part:N", title=None, scale=alt.Scale(
                domain=list(PARTS), range=["#b3541e", "#1b7f4b"])),
        )
    )  # fmt: skip
    seeds = (
        alt.Chart(alt.Data(values=dots(path)))
        .mark_point(filled=True, size=40, color="#222222")
        .encode(y=name, x="seconds:Q")
    )
    chart = (drawn + seeds).properties(width=480, height=alt.Step(30))
    return vl_convert.vegalite_to_svg(chart.to_json())


def main() -> None:
    """Draws the picture anew."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    PICTURE.write_text(picture(), encoding="utf-8")


if __name__ == "__main__":
    main()
