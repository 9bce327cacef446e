"""The search of the strength, against its formula."""

from __future__ import annotations

import math

import pytest
from rounding import near

from unlearnkit.edits.eco.search import METRICS, search_strength
from unlearnkit.edits.rows import Columns, read_rows
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model


def test_a_step_goes_against_the_slope_of_the_distance() -> None:
    asked = []

    def measure(value):
        asked.append(value)
        return 1.0 - 0.1 * value  # 0.4 from the surrogate at 1

    found, trials = search_strength(measure, 0.5, 1.0, rate=10.0, steps=2, spread=0.5, tolerance=0)
    # The slope of the distance is -0.1, so the first step is by 1; at 2 it is still that.
    assert asked == near([1.5, 0.5, 2.5, 1.5, 3.0])
    assert [each.distance for each in trials] == near([0.35, 0.45, 0.25, 0.35, 0.2])
    assert found == near(3.0)


def test_it_never_goes_below_the_start_and_measures_above_0() -> None:
    asked = []

    def measure(value):
        asked.append(value)
        return value

    found, trials = search_strength(measure, 0.0, 1.0, rate=10.0, steps=3, tolerance=0)
    assert asked == near([1.999, 0.001] * 3 + [1.0])
    assert found == near(0.001)
    assert len(trials) == 7
    found, _ = search_strength(measure, 0.0, 1.0, steps=1, spread=1.0, tolerance=0)
    assert found == 1e-8


def test_it_ends_near_the_surrogate_and_keeps_what_was_nearest() -> None:
    found, trials = search_strength(lambda value: math.exp(-value), 0.25, 0.1, rate=1.0, steps=50)
    assert len(trials) < 100
    assert trials[-2].distance < 0.02
    nearest = min(trials, key=lambda each: each.distance)
    assert (found, nearest.distance) == (nearest.value, abs(nearest.measured - 0.25))


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_is_one_of_what_is_known_by_heart(metric) -> None:
    model, tokenizer = load_model("tiny/tofu_power"), load_tokenizer("tiny/tofu_power")

    columns = Columns("question", "answer", "Question: {prompt}\nAnswer: {response}")
    files = ("tiny/tofu_power/forget01.jsonl", "tiny/tofu_power/holdout50.jsonl")
    known, other = (read_rows("tiny/tofu_power", each, columns)[:4] for each in files)
    found = [METRICS[metric](model, tokenizer, rows) for rows in (known, other)]
    assert found[0] > 0.9 > found[1] > 0
    both = METRICS[metric](model, tokenizer, known + other)
    assert both == near(sum(found) / 2)
