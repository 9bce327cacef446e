"""Heat map of an inspection: forget rows by decoder blocks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt

from unlearnkit.report.charts import MODELS, Chart, colour, finished, tips

_ROW_HEIGHT, _LEAST_HEIGHT = 14, 120


def depth_map(found: Mapping[str, Any]) -> Chart | None:
    """How much of what each block carried of each row is gone; None if no block carries any.

    Args:
        found: An inspection's file, ``depth.json``.
    """
    cells = [
        {
            "row": f"{number}: {row['source']}",
            "block": block,
            "gone": min(max(after / gold, 0.0), 1.0),
            "carried": gold,
        }
        for number, row in enumerate(found["rows"], 1)
        for block, (gold, after) in enumerate(zip(row["gold"], row["after"], strict=True))
        if gold > found["tau"]
    ]
    if not cells:
        return None
    chart = (
        alt.Chart(alt.Data(values=cells))
        .mark_rect()
        .encode(
            x=alt.X("block:O", title="decoder block", axis=alt.Axis(labelAngle=0)),
            y=alt.Y("row:N", sort=None, title="forget row", axis=alt.Axis(labelLimit=160)),
            color=alt.Color("gone:Q", title="gone")
            .scale(domain=[0, 1], scheme="viridis")
            .legend(orient="bottom", gradientLength=160),
            tooltip=[
                *tips("row:N", "block:O"),
                alt.Tooltip("gone:Q", format=".2f"),
                alt.Tooltip("carried:Q", format=".2f", title="carried, nats a token"),
            ],
        )
    )
    caption = (
        "Of what each decoder block carried of a row, the share that is gone: 1 is like the gold "
        "model, 0 like the model before; an empty cell carried nothing"
    )
    height = max(_ROW_HEIGHT * len({cell["row"] for cell in cells}), _LEAST_HEIGHT)
    return Chart(caption, finished(chart, f"{found['sentence']} {caption}", height))


def lens_curves(found: Mapping[str, Any]) -> list[Chart]:
    """What each lens reads out of each block, of all models; an older file has none."""
    charts: list[Chart] = []
    for lens, curves in (found.get("lenses") or {}).items():
        points = [
            {"model": model, "block": block, "value": value}
            for model, values in curves.items()
            for block, value in enumerate(values)
        ]
        chart = (
            alt.Chart(alt.Data(values=points))
            .mark_line(point=True)
            .encode(
                x=alt.X("block:O", title="decoder block", axis=alt.Axis(labelAngle=0)),
                y=alt.Y("value:Q", title="log p of the true answer, nats a token"),
                color=colour(MODELS),
                tooltip=[*tips("model:N", "block:O"), alt.Tooltip("value:Q", format=".2f")],
            )
        )
        caption = f"The true answers, read out of each decoder block by the {lens} lens"
        charts.append(Chart(caption, finished(chart, caption, 180)))
    return charts


def by_block(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """For each block, how many rows it carried, and how much of that is gone."""
    return [
        {"carried": sum(row["gold"][block] > found["tau"] for row in found["rows"]), "gone": gone}
        for block, gone in enumerate(found["by_block"])
    ]
