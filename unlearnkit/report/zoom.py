"""Axes of a trade-off, as wide as what a decision looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt

from unlearnkit.report.labels import Wanted, lifts
from unlearnkit.verdict.values import number

_AROUND = 0.5
"""Room to both sides of the anchors, as a share of what lies between them."""
_LEAST = 0.1
"""Room at least, as a share of the largest anchor, for anchors that are almost one."""
_EDGE = 0.04
"""Space between the outermost point and the frame, as a share of the axis."""
_LANE = 0.14
"""Space for arrows beyond that, as a share of the axis without it."""
_ACROSS, _UP = ("forget", "forget_low", "forget_high"), ("utility", "low", "high")
Domain = tuple[float, float]
Point = Mapping[str, Any]


def shown_of(values: Sequence[float], anchors: Sequence[float]) -> Domain:
    """The smallest and the largest value near the anchors.

    Args:
        values: All that is to be drawn.
        anchors: What a decision compares with, the starting and the gold model; if there is
            none, all values are near.

    Example:
        >>> shown_of([0.0, 0.5, 1.0, 1.25, 90.0], [0.0, 1.0])
        (0.0, 1.25)
    """
    low, high = min(values), max(values)
    if anchors:
        between = max(anchors) - min(anchors)
        room = max(_AROUND * between, _LEAST * max(map(abs, anchors)))
        low, high = min(anchors) - room, max(anchors) + room
    near = [value for value in values if low <= value <= high]
    return min(near), max(near)


def axis_of(shown: Domain) -> Domain:
    """The ends of an axis that shows values with some space around them.

    Example:
        >>> axis_of((0.0, 1.25))
        (-0.05, 1.3)
    """
    low, high = shown
    edge = _EDGE * ((high - low) or abs(high) or 1.0)
    return low - edge, high + edge


def placed(
    points: Sequence[Point], anchors: Sequence[str]
) -> tuple[list[dict[str, Any]], Domain, Domain]:
    """Points of a trade-off on the axes that are shown, and these axes.

    A point beyond them is put in a lane at their edge, with ``angle``, where it lies in degrees
    clockwise from above, ``beyond``, its true values, and ``label``, those that lie beyond.

    Args:
        points: With ``model``, ``forget``, ``utility``, and the bounds ``forget_low``,
            ``forget_high``, ``low`` and ``high``.
        anchors: Names of the models that a decision compares with.
    """
    given = [point for point in points if point["model"] in anchors]
    across = shown_of(_all(points, _ACROSS), [point["forget"] for point in given])
    up = shown_of(_all(points, _UP), [point["utility"] for point in given])
    axes = [
        _with_lanes(axis_of(shown), shown, [point[key] for point in points])
        for shown, key in ((across, "forget"), (up, "utility"))
    ]
    several = len({point.get("figure") for point in points}) > 1
    found = [_placed(point, (across, up), axes, several=several) for point in points]
    _label(found, axes)
    return found, axes[0], axes[1]


def _with_lanes(axis: Domain, shown: Domain, values: Sequence[float]) -> Domain:
    """The axis with room for arrows beside all else, at each end that something lies beyond."""
    low, high = axis
    lane = _LANE * (high - low)
    return (
        low - lane * any(value < shown[0] for value in values),
        high + lane * any(value > shown[1] for value in values),
    )


def remarks(points: Sequence[Point]) -> str:
    """What a caption has to say of points that `placed` gave."""
    found = ""
    if any("beyond" in point for point in points):
        found += " Arrows point at what lies beyond the axes, and say where."
    if any(point["cut"] and "beyond" not in point for point in points):
        found += " A line that ends at the frame goes on."
    return found


def near(base: Any) -> Any:
    """A layer of the points that lie on the axes."""
    return base.transform_filter("!isValid(datum.beyond)")


def beyond(base: Any) -> Any:
    """Arrows with values for the points that lie beyond the axes."""
    only = base.transform_filter("isValid(datum.beyond)")
    arrow = only.mark_point(shape="arrow", size=260, filled=True, opacity=1).encode(
        angle=alt.Angle("angle:Q").scale(None)
    )
    text = only.mark_text(
        align=alt.expr("datum.right ? 'right' : 'left'"),
        dx=alt.expr("datum.right ? -12 : 12"),
        dy=alt.expr("datum.lift || 0"),
        baseline="middle",
        fontSize=12,
    ).encode(text=alt.Text("label:N"))
    return arrow + text


def _all(points: Sequence[Point], keys: Sequence[str]) -> list[float]:
    return [point[key] for point in points for key in keys]


def _placed(
    point: Point, shown: Sequence[Domain], axes: Sequence[Domain], *, several: bool
) -> dict[str, Any]:
    (across, up), (wide, tall) = shown, axes
    x, y = point["forget"], point["utility"]
    right = (x > across[1]) - (x < across[0])
    above = (y > up[1]) - (y < up[0])
    found = dict(point)
    for keys, (low, high) in ((_ACROSS[1:], wide), (_UP[1:], tall)):
        found |= {key: min(max(point[key], low), high) for key in keys}
    found["cut"] = any(found[key] != point[key] for key in (*_ACROSS[1:], *_UP[1:]))
    found["x"] = _in_lane(x, right, across, wide)
    found["y"] = _in_lane(y, above, up, tall)
    if right or above:
        found["angle"] = {
            (0, 1): 0, (1, 1): 45, (1, 0): 90, (1, -1): 135,
            (0, -1): 180, (-1, -1): 225, (-1, 0): 270, (-1, 1): 315,
        }[right, above]  # fmt: skip
        found["beyond"] = f"{number(x)}, {number(y)}"
        # What lies within the axes can be read off them.
        values = ", ".join([number(x)] * bool(right) + [number(y)] * bool(above))
        stream = str(point.get("figure", "")).partition("/")[0]
        found["label"] = f"{stream} {values}" if several else values
    return found


def _in_lane(value: float, side: int, shown: Domain, axis: Domain) -> float:
    """The value, or the middle of the lane at the end that it lies beyond."""
    if not side:
        return value
    end, edge = (shown[1], axis[1]) if side > 0 else (shown[0], axis[0])
    return end + 0.6 * (edge - end)


def _label(points: list[dict[str, Any]], axes: Sequence[Domain]) -> None:
    """Says where the label of each arrow stands; one without a place is read from its arrow."""
    across, up = axes
    wanted: list[tuple[dict[str, Any], Wanted]] = []
    others: list[tuple[float, float]] = []
    for point in points:
        x = (point["x"] - across[0]) / (across[1] - across[0])
        y = (point["y"] - up[0]) / (up[1] - up[0])
        if "beyond" in point:
            wanted.append((point, Wanted(x, y, point["label"])))
        else:
            others.append((x, y))
    places = lifts([label for _, label in wanted], others)
    for (point, label), lift in zip(wanted, places, strict=True):
        point["right"] = label.leftward
        # Vega counts downwards.
        point.update({"label": ""} if lift is None else {"lift": -lift})
