from __future__ import annotations

import math

from unlearnkit.suites.parts.measured import by_stream, known, match, mean_of


def test_rows_of_a_stream_keep_their_order() -> None:
    rows = [{"stream": s, "i": i} for i, s in enumerate("abab")]
    assert {s: [r["i"] for r in part] for s, part in by_stream(rows).items()} == {
        "a": [0, 2],
        "b": [1, 3],
    }


def test_means_leave_out_what_there_is_not() -> None:
    rows = [{"x": 1.0, "y": None}, {"x": None, "y": None}, {"x": 4.0, "y": None}]
    assert (mean_of(rows, "x"), mean_of(rows, "y")) == (2.5, None)
    assert (known(0.0), known(math.nan)) == (0.0, None)


def test_the_first_pattern_that_matches_counts() -> None:
    patterns = {"forget": 1, "for*": 2, "*": 3}
    assert [match(patterns, name) for name in ("forget", "format", "x")] == [1, 2, 3]
    assert match({}, "x") is None
