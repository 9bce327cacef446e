"""What all metrics share: each row once, in order, on any number of processes."""

from __future__ import annotations

import inspect

import pytest
import torch

from unlearnkit.metrics import Perplexity, Probability, Rouge, RowMean, UnlearningMetric


class Plain(RowMean):
    """The mean of what it is given."""

    def update(self, values, rows=None):
        self.add(torch.tensor(values), rows)


def test_repeated_rows_count_once_and_come_in_order():
    metric = Plain()
    metric.update([3.0, 1.0], rows=[3, 1])
    metric.update([2.0, 1.0, 3.0], rows=[2, 1, 3])
    assert metric.per_row()[:, 0].tolist() == [1.0, 2.0, 3.0]
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


def test_rows_without_a_figure_are_left_out_of_the_mean():
    metric = Plain()
    metric.update([1.0, float("nan"), 3.0])
    assert metric.compute().item() == 2.0


def test_no_rows_give_nan():
    metric = Plain()
    with pytest.warns(UserWarning, match="before the ``update``"):
        assert metric.compute().isnan()


def test_number_of_rows_must_fit():
    with pytest.raises(ValueError, match="found 2 rows for the figures of 1"):
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
    assert metric.direction
    assert metric.good
    assert metric.source
    assert ">>> " in inspect.getdoc(metric)


def test_names_are_those_of_the_docs():
    assert UnlearningMetric.resolve("rouge") is Rouge
    assert set(UnlearningMetric.registered()) == {
        "bleu", "distinct_n", "exact_memorization", "extraction_strength", "forget_quality",
        "harmfulness", "kl_to_reference", "knowledge_memorization", "leak_rate", "membership_auc",
        "membership_tpr", "model_utility", "perplexity", "privleak", "probability",
        "probability_with_options", "refusal_rate", "repetition_rate", "rouge",
        "semantic_similarity", "truth_ratio", "verbatim_memorization",
    }  # fmt: skip
