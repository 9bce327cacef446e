"""Places for labels of a chart, where none covers anything else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

WIDTH, HEIGHT = 280, 240
"""Pixels of the smallest chart that is drawn, on a phone; on a larger one all is further apart."""
STEP = 16
"""Pixels from a line of text to the next one."""
BESIDE = 12
"""Pixels from the middle of an arrow to its label."""
_LETTER, _LINE, _MARK = 7, 14, 8
"""Pixels: the widest digit, the height of a line, half of a mark."""


class Box(NamedTuple):
    """A part of the chart, in pixels from its left lower corner."""

    left: float
    right: float
    bottom: float
    top: float

    def meets(self, other: Box) -> bool:
        """Whether the two have a point in common."""
        across = self.left < other.right and other.left < self.right
        return across and self.bottom < other.top and other.bottom < self.top


class Wanted(NamedTuple):
    """A label beside a mark.

    Args:
        x: Share of the chart's width at which the mark lies.
        y: Share of its height, from below.
        text: The label.
    """

    x: float
    y: float
    text: str

    @property
    def leftward(self) -> bool:
        """Whether it stands to the left of its mark."""
        return self.x > 0.5

    def box(self, lift: int) -> Box:
        """What it covers if it is raised by so many pixels."""
        at, height = self.x * WIDTH, self.y * HEIGHT + lift
        long = _LETTER * len(self.text) + BESIDE
        left, right = (at - long, at - BESIDE) if self.leftward else (at + BESIDE, at + long)
        return Box(left, right, height - _LINE / 2, height + _LINE / 2)


def lifts(labels: Sequence[Wanted], marks: Iterable[tuple[float, float]]) -> list[int | None]:
    """Pixels by which each label is raised; None for one that has no place.

    Args:
        labels: The labels, the most important first.
        marks: Other marks, as shares of width and height.

    Example:
        >>> lifts([Wanted(0.1, 0.0, "0.041"), Wanted(0.1, 0.0, "0.062")], [])
        [16, 32]
    """
    taken = [_around(x, y) for x, y in marks] + [_around(each.x, each.y) for each in labels]
    found: list[int | None] = []
    for label in labels:
        for lift in _tried(label.y):
            box = label.box(lift)
            inside = box.bottom >= 0 and box.top <= HEIGHT
            if inside and not any(box.meets(other) for other in taken):
                taken.append(box)
                found.append(lift)
                break
        else:
            found.append(None)
    return found


def _around(x: float, y: float) -> Box:
    at, height = x * WIDTH, y * HEIGHT
    return Box(at - _MARK, at + _MARK, height - _MARK, height + _MARK)


def _tried(y: float) -> list[int]:
    """Beside the mark, then ever further from the nearer edge, then to the other side."""
    inward = 1 if y < 0.5 else -1
    steps = range(1, HEIGHT // STEP)
    return [0, *(inward * STEP * i for i in steps), *(-inward * STEP * i for i in steps)]
