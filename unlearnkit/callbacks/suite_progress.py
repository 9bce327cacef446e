"""Shows how far suites have come, and the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.text import Text

from unlearnkit.engine.generation.watching import watched
from unlearnkit.redact import printable
from unlearnkit.terminal import TextConsole

BETWEEN_LINES = 10.0
"""Seconds between two lines where there is no terminal; a suite that takes less has none."""
_LEAST_SECONDS = 1.0


class SuiteProgress:
    """Shows rows and time left of each suite: a bar on a terminal, now and then a line elsewhere.

    Of a suite that has run on one model the rows are known, and the time left is that of the whole
    suite. On the first model it is that of the rows which the model is at work on: a suite may
    ask in several parts.

    Args:
        suites: Names of the suites, in their order.
        console: Where it is shown; by default the standard error.
        clock: Gives seconds.
    """

    def __init__(
        self,
        suites: Sequence[str],
        console: Console | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._suites, self._clock = list(suites), clock
        self._console = console
        self._rows: dict[str, int] = {}

    @contextmanager
    def of(self, stage: str, suite: str) -> Iterator[None]:
        """Shows the progress of one suite on one model.

        Args:
            stage: Which model it is, such as ``before``.
            suite: Name of the suite.
        """
        console = self._console or TextConsole(stderr=True)
        place = f"({self._suites.index(suite) + 1} of {len(self._suites)})"
        what = printable(f"{stage}: {suite} {place if len(self._suites) > 1 else ''}".strip())
        come = _Come(self._rows.get(suite), self._clock)
        show = self._bar if console.is_terminal else self._lines
        with show(console, what, come):
            yield
        self._rows[suite] = come.rows

    @contextmanager
    def _bar(self, console: Console, what: str, come: _Come) -> Iterator[None]:
        columns = (
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=12),
            TextColumn("{task.fields[come]}", markup=False),
        )
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(_shortened(what), total=None, come="")

            def show(done: int, rows: int) -> None:
                come.add(done, rows)
                part, whole = come.bounds
                bar.update(task, completed=part, total=whole or None, come=str(come))

            with watched(show):
                yield

    @contextmanager
    def _lines(self, console: Console, what: str, come: _Come) -> Iterator[None]:
        last = self._clock()

        def say(done: int, rows: int) -> None:
            nonlocal last
            come.add(done, rows)
            if self._clock() - last >= BETWEEN_LINES:
                last = self._clock()
                console.print(Text(f"{what}, {come}"), soft_wrap=True)

        with watched(say):
            yield


class _Come:
    """Rows of one suite that are done, and the time that the others will take."""

    def __init__(self, known: int | None, clock: Callable[[], float]) -> None:
        self._known, self._clock = known, clock
        self._whole, self._done, self._part = 0, 0, 0
        self._began = self._part_began = clock()

    @property
    def rows(self) -> int:
        """Rows of all calls so far, done or not."""
        return self._whole + self._part

    @property
    def bounds(self) -> tuple[int, int]:
        """Rows that are done, and all: of the suite where that is known, else of the call."""
        if self._known:
            return min(self._whole + self._done, self._known), self._known
        return self._done, self._part

    def add(self, done: int, rows: int) -> None:
        """Takes in what a call has done; none is done where another call begins."""
        if done == 0:
            self._whole, self._part_began = self.rows, self._clock()
        self._done, self._part = done, rows

    def __str__(self) -> str:
        done, rows = self.bounds
        words = f"{done} of {rows} rows"
        took = self._clock() - (self._began if self._known else self._part_began)
        if done and took >= _LEAST_SECONDS:
            left = round(took * (rows - done) / done)
            words += f", {left // 60}:{left % 60:02} left"
        return words


def _shortened(text: str, most: int = 28) -> str:
    """A name that leaves room for the bar in 80 columns."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
