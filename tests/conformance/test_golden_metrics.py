"""Metrics against values measured on published reference code."""

# Each registers its adapters.
import golden_membership  # noqa: F401
import golden_text  # noqa: F401
import golden_truth  # noqa: F401
import pytest
import torch
from golden_adapters import compute
from golden_metrics import Case, differences


def test_metric_value_is_the_stored_one(golden_metric):
    wrong = differences(compute(golden_metric), golden_metric.expected, golden_metric.abs_tol)
    assert not wrong, "\n".join(wrong[:20])


def test_unknown_metric_fails(tmp_path):
    case = Case(tmp_path, "no_such_metric", "one", torch.float32, "", {}, 1.0, 0.0)
    with pytest.raises(LookupError, match="no_such_metric"):
        compute(case)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({}, {"agg": 1.0}),
        ([1.0], [1.0, 2.0]),
        ([1.0, 2.00003], [1.0, 2.0]),
        ({"auc": 0.5000001}, {"auc": 0.5}),
        ("Ada", "Bo"),
        (1.0, None),
        (float("nan"), 1.0),
    ],
)
def test_wrong_values_are_found(found, expected):
    assert len(differences(found, expected, abs_tol=0.0)) == 1
