"""Answer probabilities, truth ratio and TOFU's aggregates, by hand."""

from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.functional.tofu import (
    forget_quality,
    ks_distance,
    model_utility,
    privleak,
    probability_with_options,
    relative_difference,
    truth_ratio,
    truth_scores,
)
from unlearnkit.metrics import ForgetQuality, KSDistance, TruthRatio
from unlearnkit.suites import Tofu
from unlearnkit.suites.parts.bootstrap import bootstrap

RIGHT = -torch.tensor([0.5, 0.1]).log()
WRONG = -torch.tensor([[0.25, 0.25], [0.4, 0.1]]).log()


def test_geometric_and_arithmetic_mean_over_wrong_answers():
    assert truth_ratio(RIGHT, WRONG).tolist() == pytest.approx([0.5, 2.0])
    assert truth_ratio(RIGHT, WRONG, "arithmetic").tolist() == pytest.approx([0.5, 2.5])


@pytest.mark.parametrize(
    ("which", "expected"),
    [
        ("closer_to_1_better", [0.5, 0.5]),
        ("true_better", [0.5, 0.0]),
        ("prob_mean", [1 / 1.5, 1 / 3]),
        ("ratio", [0.5, 2.0]),
    ],
)
@pytest.mark.parametrize("compat", [None, "open-unlearning"])
def test_aggregates(which, expected, compat):
    assert truth_scores(RIGHT, WRONG, which, compat=compat).tolist() == pytest.approx(expected)
    metric = TruthRatio(which, compat=compat)
    metric.update(RIGHT, WRONG)
    assert metric.compute().item() == pytest.approx(sum(expected) / 2)


def test_very_unlikely_answers_do_not_underflow():
    right, wrong = torch.tensor([400.0]), torch.tensor([[401.0, 401.0]])
    assert truth_ratio(right, wrong).item() == pytest.approx(math.exp(-1))
    assert probability_with_options(right, wrong).item() == pytest.approx(1 / (1 + 2 / math.e))
    # The published guard hides such answers.
    assert truth_ratio(right, wrong, compat="open-unlearning").item() == 0.0


def test_forget_quality_against_itself_and_against_another():
    same = [i / 50 for i in range(50)]
    assert forget_quality(same, same) == 1.0
    # Of one row a side p is 1 whatever the two values are.
    assert math.isnan(forget_quality([0.1], [0.9]))
    assert math.isnan(forget_quality(same, [0.9]))
    assert forget_quality(same, [x + 10 for x in same]) < 0.01
    metric = ForgetQuality(same)
    metric.update(torch.tensor(same), rows=range(50))
    assert metric.compute().item() == 1.0


def test_model_utility():
    assert model_utility([0.2, 0.3]) == pytest.approx(2 / (5 + 10 / 3))
    assert model_utility([0.9, 0.0]) == 0.0
    assert math.isnan(model_utility([0.9, math.nan]))
    with pytest.raises(ValueError, match="at least 0"):
        model_utility([0.9, -0.1])
    with pytest.raises(ValueError, match="at least 0"):
        model_utility([])


def test_privleak_by_hand():
    # MUSE's News figures: fully memorised, and over-unlearned, against an error of 0.4772.
    assert privleak(1.0, 1 - 0.4772) == -100.0
    assert privleak(0.0, 1 - 0.4772) == pytest.approx(109.6, abs=0.05)
    assert privleak(0.5) == 0.0
    assert math.isnan(privleak(0.5, 1.0))
    assert relative_difference(3.0, 2.0) == 50.0


def test_ks_distance_is_the_largest_gap_between_the_shares_below_a_value():
    own, gold = [0.1, 0.2, 0.3, 0.9], [0.3, 0.9, 1.5, 2.0]
    # Up to 0.2 half of one and none of the other; from there on both rise alike.
    assert ks_distance(own, gold) == 0.5
    assert ks_distance(own, own) == 0.0
    assert ks_distance(own, [x + 10 for x in own]) == 1.0
    # It says the same of ten times the rows, of which the p-value does not.
    assert ks_distance(own * 10, gold * 10) == 0.5
    assert forget_quality(own * 10, gold * 10) < 0.01 < forget_quality(own, gold)
    assert math.isnan(ks_distance([0.1], [0.9]))
    metric = KSDistance()
    metric.update(own, gold, rows=range(4))
    assert metric.compute().item() == 0.5
    assert metric.direction_on("forget") == "zero"


def test_the_interval_of_ks_distance_draws_a_row_of_both_models_together():
    rows = [
        {"stream": "forget", "truth_ratio": 0.1, "gold_truth_ratio": 0.5},
        {"stream": "forget", "truth_ratio": 0.6, "gold_truth_ratio": 0.2},
    ]
    suite = Tofu()
    assert suite.aggregate(rows)["forget/ks_distance"] == 0.5
    # One row twice: all of one model's values are below all of the other's. Both rows: 0.5.
    assert bootstrap(suite, rows)["forget/ks_distance"] == (0.5, 1.0)
    for row in rows:
        row["gold_truth_ratio"] = row["truth_ratio"]
    assert bootstrap(suite, rows)["forget/ks_distance"] == (0.0, 0.0)
