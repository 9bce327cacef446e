from __future__ import annotations

import random
from statistics import fmean

import pytest

from unlearnkit.suites import Copyright
from unlearnkit.suites.parts.bootstrap import bootstrap

DRAWN = random.Random(0)
ROWS = [
    {
        "stream": stream,
        "tokens": DRAWN.randint(1, 9),
        "rougeL_recall": DRAWN.random() if row % 3 else None,
        "distinct_2": DRAWN.random(),
        "bleu": 100 * DRAWN.random(),
        "nll_sum": DRAWN.random(),
        **({"kl_sum": DRAWN.random()} if row % 2 else {}),
    }
    for stream in ("forget", "normal")
    for row in range(7)
]


class ByRows(Copyright):
    """Aggregates whole rows, and nothing else."""

    def aggregate(self, rows):
        return super().aggregate(rows)


class Combined(Copyright):
    """Has a value made of others, and one without an interval."""

    without_interval = ("distinct_2",)

    def completed(self, values):
        return values | {"utility/twice": 2 * values["normal/rougeL_recall"]}


class CombinedByRows(Combined):
    """The same, by whole rows."""

    def aggregate(self, rows):
        return super().aggregate(rows)


def test_bounds_are_percentiles_of_means_of_resamples() -> None:
    rows = [{"stream": "normal", "distinct_2": value} for value in (0.0, 1.0, 1.0)]
    generator = random.Random(5)
    means = sorted(fmean(r["distinct_2"] for r in generator.choices(rows, k=3)) for _ in range(41))
    # Of 41 values, those of ranks 1 and 39 stand at 2.5 % and 97.5 %.
    found = bootstrap(Copyright(), rows, seed=5, resamples=41)
    assert found["normal/distinct_2"] == pytest.approx((means[1], means[39]))


@pytest.mark.parametrize("seed", [0, 1])
def test_columns_give_every_digit_that_rows_give(seed) -> None:
    found = bootstrap(Copyright(), ROWS, seed=seed, resamples=50)
    assert found == bootstrap(ByRows(), ROWS, seed=seed, resamples=50)
    assert list(found) == list(bootstrap(ByRows(), ROWS, seed=seed, resamples=50))
    assert {"forget/leak_rate", "forget/rougeL_recall", "normal/kl_to_reference"} <= found.keys()
    assert found != bootstrap(Copyright(), ROWS, seed=seed + 2, resamples=50)


def test_values_made_of_others_have_intervals_and_p_values_none() -> None:
    found = bootstrap(Combined(), ROWS, resamples=50)
    assert found == bootstrap(CombinedByRows(), ROWS, resamples=50)
    plain = bootstrap(Copyright(), ROWS, resamples=50)
    assert found["utility/twice"] == tuple(2 * bound for bound in plain["normal/rougeL_recall"])
    assert found.keys() - plain.keys() == {"utility/twice"}
    assert plain.keys() - found.keys() == {"forget/distinct_2", "normal/distinct_2"}


def test_what_no_row_has_has_no_interval() -> None:
    rows = [{"stream": "forget", "rougeL_recall": None, "distinct_2": 0.5}] * 2
    assert bootstrap(Copyright(), rows) == {"forget/distinct_2": (0.5, 0.5)}
    assert bootstrap(Copyright(), []) == {}
