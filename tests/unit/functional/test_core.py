from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.functional.core import (
    at_least_float32,
    log_probabilities,
    row_mean,
    row_sum,
    token_logps,
)


def test_log_probabilities_of_targets_in_float32() -> None:
    logits = torch.tensor([[0.0, math.log(3)], [0.0, 0.0]]).half()
    found = token_logps(logits, torch.tensor([1, 0]))
    assert found.dtype == torch.float32
    assert found.tolist() == pytest.approx([math.log(3 / 4), math.log(1 / 2)], abs=1e-3)


def test_a_token_that_cannot_be_said_stays_finite() -> None:
    found = log_probabilities(torch.tensor([[0.0, -math.inf]]))
    assert found[0, 0] == 0.0
    assert found.isfinite().all()


def test_sums_and_means_of_sequences() -> None:
    x, sequence = torch.tensor([1.0, 2.0, 5.0]), torch.tensor([0, 0, 2])
    assert row_sum(x, sequence, 3).tolist() == [3.0, 0.0, 5.0]
    assert row_mean(x, sequence, 3).tolist() == [1.5, 0.0, 5.0]  # 0 without tokens


def test_double_precision_is_kept() -> None:
    assert at_least_float32(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64
    assert at_least_float32(torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.float32
