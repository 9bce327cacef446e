"""A pausable clock, and the test of a run's goal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

Figures = dict[str, float]
TARGET, KEPT = 0.05, 0.9
"""Highest rude rate, and lowest share of right answers, of a run that has reached its goal."""
PATIENCE = 5
"""Looks that find the rude rate at the target, but too few right answers, before a run ends."""


def reached(figures: Figures) -> bool:
    """Whether a look found the rude rate at the target, and both kinds of answers kept.

    A look that stopped early, since the rude rate was far off, has no other figures.

    Example:
        >>> reached({"rude": 0.05, "protected": 0.9, "heldout": 1.0}), reached({"rude": 0.3})
        (True, False)
    """
    kept = all(figures.get(name, 0.0) >= KEPT for name in ("protected", "heldout"))
    return figures["rude"] <= TARGET and kept


class Watch:
    """Counts the steps of a run and its time, and looks at the model after each of them.

    Args:
        look: Figures of the model after a number of steps. The clock stands still meanwhile.
        done: Whether these figures end the run.
    """

    def __init__(
        self, look: Callable[[Any, int], Figures], done: Callable[[Figures], bool] = reached
    ) -> None:
        self._look, self._done = look, done
        self.step, self.wall, self.cpu = 0, 0.0, 0.0
        self.figures: Figures = {}
        self.reached = False
        self._damaged = 0
        self.begin()

    def begin(self) -> None:
        """Starts the clock, or lets it go on."""
        self._since = time.perf_counter(), time.process_time()

    def after_step(self, model: Any) -> bool:
        """Counts a step; whether the run has reached its goal, or is given up."""
        self.wall += time.perf_counter() - self._since[0]
        self.cpu += time.process_time() - self._since[1]
        self.step += 1
        self.figures = self._look(model, self.step)
        self.reached = self._done(self.figures)
        self._damaged += self.figures.get("rude", 1.0) <= TARGET and not self.reached
        self.begin()
        return self.reached or self._damaged == PATIENCE

    def costs(self) -> Figures:
        """Steps, and seconds of wall and processor."""
        return {"step": self.step, "wall": self.wall, "cpu": self.cpu}
