"""A pausable clock, and the test of a run's goal."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

Figures = dict[str, float]


class Watch:
    """Counts the steps of a run, its time, and looks at its answers every few steps.

    Args:
        look: Figures of the model as it is: rates of rude answers ``trained`` and ``unseen``, and
            shares of right answers ``normal`` and ``heldout``.
        target: Highest rude rate that counts as reached.
        every: Steps between two looks.
    """

    def __init__(self, look: Callable[[Any], Figures], target: float, every: int) -> None:
        self._look, self._target, self._every = look, target, every
        self.step, self.wall, self.cpu = 0, 0.0, 0.0
        self.looks: list[dict[str, float]] = []
        self.begin()

    def begin(self) -> None:
        """Starts the clock, or lets it go on."""
        self._since = time.perf_counter(), time.process_time()

    def after_step(self, model: Any) -> bool:
        """Counts a step; whether the run has reached its goal."""
        self.wall += time.perf_counter() - self._since[0]
        self.cpu += time.process_time() - self._since[1]
        self.step += 1
        if self.step % self._every == 0:
            figures = self._look(model)
            facts = {"step": self.step, "wall": self.wall, "cpu": self.cpu}
            self.looks.append({**facts, **figures})
        self.begin()
        return bool(self.looks) and self.reached("trained") and self.reached("unseen")

    def reached(self, part: str) -> bool:
        """Whether the last look found a part's rate at the target."""
        return self.looks[-1][part] <= self._target
