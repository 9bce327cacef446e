"""Logits made of logits: the closed forms of each rule."""

from __future__ import annotations

import math

import pytest
import torch

from unlearnkit.functional import offset_logits, uld_logits, whp_logits


@pytest.fixture
def logits():
    torch.manual_seed(0)
    return [torch.randn(4, 50, dtype=torch.float64) for _ in range(3)]


@pytest.mark.parametrize("alpha", [0.0, 0.7, 1.0, 5.0])
def test_an_untrained_offset_is_the_large_model_exactly(logits, alpha):
    base, small, _ = (each.float() for each in logits)
    assert torch.equal(offset_logits(base, small, small, alpha), base)


def test_offset_of_a_model_from_itself_is_the_tuned_one(logits):
    base, tuned, _ = logits
    torch.testing.assert_close(offset_logits(base, tuned, base), tuned)


def test_the_gradient_at_the_offset_is_alpha_times_the_objectives(logits):
    base, tuned, small = logits
    tuned.requires_grad_()
    combined = offset_logits(base, tuned, small, alpha=0.3)
    combined.retain_grad()
    combined.log_softmax(-1)[:, 7].mean().backward()
    assert combined.grad is not None
    torch.testing.assert_close(tuned.grad, 0.3 * combined.grad)


def test_whp_is_a_minimum_at_alpha_one(logits):
    base, reinforced, _ = logits
    expected = torch.minimum(base, 2 * base - reinforced)
    torch.testing.assert_close(whp_logits(base, reinforced), expected)


def test_whp_without_a_raise_is_the_base(logits):
    base, lower, _ = logits
    assert torch.equal(whp_logits(base, base - lower.abs(), alpha=3.0), base)


def test_uld_without_weight_is_the_base(logits):
    assert torch.equal(uld_logits(logits[0], logits[1], weight=0.0), logits[0])


def test_an_assistant_that_knows_nothing_changes_no_probability_that_passes(logits):
    base = logits[0]
    found = uld_logits(base, torch.full_like(base, 2.5), weight=-0.8, relative_top=0.1)
    moved = found != base
    torch.testing.assert_close(found[moved], base[moved] - 2.0)
    whole = uld_logits(base, torch.full_like(base, 2.5), relative_top=0)
    torch.testing.assert_close(whole.softmax(-1), base.softmax(-1))


@pytest.mark.parametrize("relative_top", [0.001, 0.1, 0.5, 1.0])
def test_the_filter_passes_what_the_formula_says(logits, relative_top):
    base, assistant, _ = logits
    base = 3 * base
    found = uld_logits(base, assistant, weight=-1.0, relative_top=relative_top)
    for row, one, z in zip(found, base, assistant, strict=True):
        logps = one.log_softmax(-1)
        ranked = sorted(logps.tolist(), reverse=True)
        least = ranked[max(1, math.floor(relative_top * len(ranked))) - 1]
        threshold = min(ranked[0] + math.log(relative_top), least)
        for v in range(len(ranked)):
            expected = one[v] - z[v] if logps[v] >= threshold else one[v]
            assert row[v] == expected


def test_half_precision_is_combined_in_float32(logits):
    halves = [each.bfloat16() for each in logits]
    assert offset_logits(*halves).dtype == torch.float32
    assert uld_logits(*halves[:2]).dtype == torch.float32
    assert whp_logits(*halves[:2]).dtype == torch.float32
