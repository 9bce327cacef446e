"""A step's operations are near the lower bound and below finetuning."""

from __future__ import annotations

from statistics import fmean

import pytest
import torch

from benchmarks import step
from benchmarks.flops import count_flops
from benchmarks.workload import SHAPES, draw


@pytest.fixture(autouse=True)
def quarter(monkeypatch) -> None:
    """A quarter of the layers and of the vocabulary of R: all ratios are the same as R's."""
    monkeypatch.setitem(SHAPES, "quarter", SHAPES["R"]._replace(layers=3, vocabulary=1024))


def _row(variant: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> dict:
    """A step of fewer prompts than the benchmark's four, to be quick."""
    step.counted.cache_clear()
    monkeypatch.setattr(step, "draw", lambda vocabulary, seed, _: draw(vocabulary, seed, batch))
    return step.exact_row("quarter", variant, seed=0)


def test_a_step_is_within_a_tenth_of_the_bound(monkeypatch) -> None:
    row = _row("default", 2, monkeypatch)
    assert row["flops_over_bound"] <= 1.10
    assert row["flops_over_finetune"] <= 0.50
    assert row["loss_gap"] <= 1e-5
    assert row["grad_gap"] <= 1e-5


@pytest.mark.parametrize("variant", ["rows", "cached", "micro"])
def test_every_switch_gives_the_same_loss_and_gradient(variant, monkeypatch) -> None:
    row = _row(variant, 1, monkeypatch)
    assert row["loss_gap"] <= 1e-5
    assert row["grad_gap"] <= 1e-5
    if variant != "rows":
        assert row["flops_over_bound"] <= 1.10


@pytest.mark.slow
@pytest.mark.parametrize("model", ["S", "R", "V"])
def test_the_figures_of_the_whole_benchmark(model) -> None:
    goal = {"R": 0.50, "S": 0.42, "V": 0.42}[model]
    rows = [step.exact_row(model, "default", seed) for seed in step.SEEDS]
    for row in rows:
        assert row["flops_over_bound"] <= 1.10
        assert max(row["loss_gap"], row["grad_gap"]) <= 1e-5
    # Finetuning pads to the longest row, so its cost depends on the lengths drawn: the bound alone
    # is 0.44 of it for S and seed 1. The goal is for the mean of the seeds.
    assert fmean(row["flops_over_finetune"] for row in rows) <= goal


def test_finetuning_counted_from_shapes_is_finetuning_that_ran() -> None:
    ran = count_flops(step.make("finetune", "quarter", seed=0, batch=1).run)
    assert step.finetune_flops("quarter", "finetune", seed=0, batch=1) == ran


def test_the_counter_counts_what_torch_leaves_out() -> None:
    tokens, width, wide = 3, 5, 7
    linear = torch.nn.Linear(width, wide)
    x = torch.randn(tokens, width, requires_grad=True)
    assert count_flops(lambda: linear(x).sum().backward()) == 6 * tokens * width * wide
    total = torch.zeros(wide, width)
    assert count_flops(lambda: total.addmm_(torch.randn(wide, tokens), x.detach())) == (
        2 * tokens * width * wide
    )
    q = torch.randn(1, 2, tokens, 8, requires_grad=True)
    attention = torch.nn.functional.scaled_dot_product_attention
    products = 2 * (2 * tokens * tokens * 8)  # two heads, each q·k
    assert count_flops(lambda: attention(q, q, q)) == 2 * products
    assert count_flops(lambda: attention(q, q, q).sum().backward()) >= 2 * products * 3
