"""Rows and time left of suites, on a clock of the test."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import pytest
from rich.console import Console
from stub import stub_model, stub_tokenizer

from unlearnkit.callbacks.suite_progress import SuiteProgress
from unlearnkit.data.example import Example
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import score
from unlearnkit.engine.generation.watching import tell, watched
from unlearnkit.runs.measure import progress_of
from unlearnkit.suites import Copyright


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def shown():
    """A progress, its clock, and what it has written so far."""

    def make(terminal, suites=("copyright", "tofu"), width=80):
        written, clock = io.StringIO(), Clock()
        console = Console(file=written, force_terminal=terminal, width=width, highlight=False)
        return SuiteProgress(suites, console, clock), clock, written

    return make


def work(clock, parts, seconds):
    """Calls of so many rows, one row a batch."""
    for rows in parts:
        tell(0, rows)
        for row in range(rows):
            clock.now += seconds
            tell(row + 1, rows)


def test_without_a_terminal_there_is_a_line_now_and_then(shown):
    progress, clock, written = shown(terminal=False)
    with progress.of("before", "copyright"):
        work(clock, [4, 2], 5)
    # Of the first model each part is known by itself: two of four rows took 10 s.
    assert written.getvalue().splitlines() == [
        "before: copyright (1 of 2), 2 of 4 rows, 0:10 left",
        "before: copyright (1 of 2), 4 of 4 rows, 0:00 left",
        "before: copyright (1 of 2), 2 of 2 rows, 0:00 left",
    ]
    written.truncate(0)
    written.seek(0)
    with progress.of("after", "copyright"):
        work(clock, [4, 2], 5)
    # Now six rows are known to come: two took 10 s, so four take 20 s.
    assert written.getvalue().splitlines() == [
        "after: copyright (1 of 2), 2 of 6 rows, 0:20 left",
        "after: copyright (1 of 2), 4 of 6 rows, 0:10 left",
        "after: copyright (1 of 2), 6 of 6 rows, 0:00 left",
    ]


def test_a_quick_suite_says_nothing(shown):
    progress, clock, written = shown(terminal=False)
    with progress.of("before", "tofu"):
        work(clock, [90], 0.1)
    assert written.getvalue() == ""


def test_on_a_terminal_a_bar_fits_80_columns_and_is_gone_at_the_end(shown):
    name = "a_suite_with_a_name_that_is_long"
    progress, clock, written = shown(terminal=True, suites=(name,))
    with progress.of("before", name):
        work(clock, [1000], 2.0)
    text = re.sub(r"\x1b\[[0-9;]*m", "", written.getvalue())
    lines = [line for line in re.split(r"[\r\n]|\x1b\[\S*?[A-Za-z]", text) if "before" in line]
    assert max(map(len, lines)) <= 80
    assert lines[-1].split() == [
        "before:", "a_suite_with_a_name…", "━" * 12, "1000", "of", "1000", "rows,", "0:00", "left",
    ]  # fmt: skip
    assert written.getvalue().endswith("\x1b[2K")


def test_generation_and_scoring_tell_how_far_they_are():
    model, tokenizer = stub_model({"random_init": 1}), stub_tokenizer({})
    seen = []
    with watched(lambda done, rows: seen.append((done, rows))):
        generate(model, tokenizer, [[4, 5]] * 5, max_new_tokens=2, batch_size=2)
        examples = [Example((4,), (5, 6), i, "") for i in range(3)]
        score(model, examples, batch_size=2)
    assert seen == [(0, 5), (2, 5), (4, 5), (5, 5), (0, 3), (2, 3), (3, 3)]
    generate(model, tokenizer, [[4, 5]], max_new_tokens=2)
    assert len(seen) == 7


@pytest.mark.parametrize(
    ("bar", "first", "there"), [(True, True, True), (False, True, False), (True, False, False)]
)
def test_other_processes_and_runs_without_a_bar_show_nothing(bar, first, there):
    trainer = SimpleNamespace(progress_bar_callback=bar or None, is_global_zero=first)
    assert (progress_of(trainer, [Copyright()]) is not None) is there
