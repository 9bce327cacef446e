from __future__ import annotations

import math
import zlib

import pytest
import torch

from unlearnkit.functional import membership

LOGPS, SEQUENCE = torch.tensor([-1.0, -3.0, -2.0, -5.0]), torch.tensor([0, 0, 0, 1])


def test_losses_are_means_over_tokens_and_zlib_over_bytes() -> None:
    assert membership.loss(LOGPS, SEQUENCE, 2).tolist() == [2.0, 5.0]
    sizes = [len(zlib.compress(text.encode())) for text in ("aaa", "b")]
    found = membership.zlib(LOGPS, SEQUENCE, ["aaa", "b"])
    assert found.tolist() == pytest.approx([2 / sizes[0], 5 / sizes[1]])


def test_min_k_takes_the_lowest_and_at_least_one() -> None:
    assert membership.min_k(LOGPS, SEQUENCE, 2, k=2 / 3).tolist() == [2.5, 5.0]
    assert membership.min_k(LOGPS, SEQUENCE, 2, k=0.1).tolist() == [3.0, 5.0]


def test_standardised_by_the_models_own_distribution() -> None:
    logs = torch.tensor([[0.25, 0.75]]).log()
    mean = 0.25 * math.log(0.25) + 0.75 * math.log(0.75)
    square = 0.25 * math.log(0.25) ** 2 + 0.75 * math.log(0.75) ** 2
    expected = (math.log(0.25) - mean) / math.sqrt(square - mean**2)
    found = membership.standardised_logps(logs, torch.tensor([0]))
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_areas_by_counting_pairs() -> None:
    forget, holdout = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([2.0, 4.0])
    # Of six pairs four are in order, and one is a tie.
    assert membership.auc(forget, holdout) == pytest.approx((4 + 0.5) / 6)
    assert membership.true_positive_rate(forget, holdout, 0.0) == pytest.approx(1 / 3)
    assert math.isnan(membership.auc(forget, torch.tensor([])))
    with pytest.raises(ValueError, match="a score is nan"):
        membership.auc(torch.tensor([math.nan]), holdout)


def test_relative_losses() -> None:
    assert membership.reference(torch.tensor(3.0), torch.tensor(1.0)) == 2.0
    assert membership.lowercase(torch.tensor(3.0), torch.tensor(1.5)) == 2.0
    assert membership.recall(torch.tensor(2.0), torch.tensor(1.0)) == pytest.approx(-0.5)
