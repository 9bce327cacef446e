"""What all metrics share: each row once, in order, on any number of processes."""

from __future__ import annotations

import inspect
import math

import pytest
import torch

from unlearnkit.metrics import (
    KLToReference,
    LeakRate,
    MembershipAUC,
    Perplexity,
    Probability,
    RefusalRate,
    Rouge,
    RowMean,
    UnlearningMetric,
)

DIRECTIONS = {"up", "down", "zero", "gold", None}


class Plain(RowMean):
    """The mean of what it is given."""

    needs = ("value",)

    def per_row(self, values):
        return values


def test_repeated_rows_count_once_and_come_in_order():
    metric = Plain()
    metric.update([3.0, 1.0], rows=[3, 1])
    metric.update([2.0, 1.0, 3.0], rows=[2, 1, 3])
    assert metric.row_values()[:, 0].tolist() == [1.0, 2.0, 3.0]
    assert metric.compute().item() == 2.0


def test_rows_without_a_name_are_all_counted():
    metric = Plain()
    metric.update([1.0, 1.0])
    metric.update([4.0])
    assert metric.compute().item() == 2.0


def test_mean_does_not_depend_on_the_order_of_updates():
    values = [1e8, 1.0, -1e8, 0.1, 7.7]
    results = set()
    for order in ([0, 1, 2, 3, 4], [4, 2, 0, 1, 3]):
        metric = Plain()
        for i in order:
            metric.update([values[i]], rows=[i])
        results.add(metric.compute().item())
    assert len(results) == 1


def test_rows_without_a_value_are_left_out_of_the_mean():
    metric = Plain()
    metric.update([1.0, float("nan"), 3.0])
    assert metric.compute().item() == 2.0


def test_no_rows_give_nan():
    metric = Plain()
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert metric.compute().isnan()


def test_number_of_rows_must_fit():
    with pytest.raises(ValueError, match="found 2 rows for the values of 1"):
        Plain().update([1.0], rows=[0, 1])


def test_reset_forgets():
    metric = Plain()
    metric.update([1.0], rows=[0])
    metric.reset()
    metric.update([5.0], rows=[0])
    assert metric.compute().item() == 5.0


def test_perplexity_weighs_tokens_and_probability_weighs_rows():
    logps = torch.tensor([0.5, 0.5, 0.5, 0.125]).log()
    sequence = torch.tensor([0, 0, 0, 1])
    perplexity, probability = Perplexity(), Probability()
    perplexity.update(logps, sequence, 2)
    probability.update(logps, sequence, 2)
    assert perplexity.compute().item() == pytest.approx(2 ** (6 / 4))
    assert probability.compute().item() == pytest.approx((0.5 + 0.125) / 2)


@pytest.mark.parametrize("metric", UnlearningMetric.registered().values())
def test_every_metric_says_what_it_is(metric):
    assert metric.definition().endswith(".")
    assert metric.value_range
    assert metric.formula
    assert metric.needs
    assert {metric.direction_on("forget"), metric.direction_on("heldout")} <= DIRECTIONS
    assert metric.direction_on(None) is None
    assert metric.good
    assert metric.source
    assert ">>> " in inspect.getdoc(metric)


def test_every_file_of_the_package_is_found():
    assert UnlearningMetric.resolve("rouge") is Rouge
    assert {"rouge", "nll", "membership_auc", "harmful_rate", "mc1"} <= set(
        UnlearningMetric.registered()
    )


def test_results_come_from_the_rows_of_a_result_file():
    metric = LeakRate(threshold=50.0)
    rows = [{"bleu": 60.0, "stream": "forget"}, {"bleu": None}, {"bleu": 10.0}, {"other": 1.0}]
    assert metric.of(rows) == 0.5
    assert metric.of(rows[1:2]) is None
    assert len(metric.measured_in(rows)) == 3
    perplexity = Perplexity()
    assert perplexity.of([{"nll_sum": 4.0, "tokens": 2}]) == pytest.approx(math.e**2)
    assert perplexity.of([{"nll_sum": 1e6, "tokens": 1}]) is None
    filled = [{"generated": "the river", "reference": "the river ran"}]
    Rouge().fill(filled)
    assert filled[0]["rougeL_recall"] == 2 / 3


def test_the_direction_is_that_of_the_role():
    assert [Rouge.direction_on(role) for role in ("forget", "unseen", "protected")] == [
        "down", "down", "up",
    ]  # fmt: skip
    assert RefusalRate.direction_on("unseen") == "up"
    assert RefusalRate.direction_on("neighbour") == "down"
    assert KLToReference.direction_on("forget") is None
    assert MembershipAUC.direction_on("forget") == "gold"
