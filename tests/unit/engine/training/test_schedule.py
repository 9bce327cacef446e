from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from unlearnkit.engine.training.schedule import scheduled, total_steps, warmup_steps


def test_a_warmup_is_in_steps_or_below_1_a_part() -> None:
    assert [warmup_steps(each, 20) for each in (0, 0.1, 1, 7.0)] == [0, 2, 1, 7]


def _rates(schedule: Any, warmup: float) -> list[float]:
    trainer: Any = SimpleNamespace(datamodule=None, estimated_stepping_batches=4)
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    found = scheduled(optimizer, schedule, warmup, trainer)
    rates = []
    for _ in range(4):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if found is not optimizer:
            found["lr_scheduler"]["scheduler"].step()
    return rates


def test_learning_rates_by_hand() -> None:
    assert _rates("constant", 0) == [1.0] * 4
    assert _rates("constant", 2) == [0.0, 0.5, 1.0, 1.0]
    assert _rates("linear", 0) == [1.0, 0.75, 0.5, 0.25]
    assert _rates("cosine", 0) == pytest.approx([1.0, 0.8535533906, 0.5, 0.1464466094])


def test_a_run_without_bound_has_no_steps() -> None:
    trainer: Any = SimpleNamespace(datamodule=None, estimated_stepping_batches=float("inf"))
    assert total_steps(trainer) is None
