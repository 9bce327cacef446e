"""Three processes add up the gradients of a first step as they do those of a later one."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from typing import Any

import pytest
import torch
import torch.distributed as dist
from processes import PATIENCE, run_ranks
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from unlearnkit.engine.training.buckets import lay_buckets

CASES: dict[str, tuple[bool, dict[str, Any]]] = {
    "as DDP begins": (False, {}),
    "laid": (True, {}),
    "counts unused weights": (True, {"find_unused_parameters": True}),
}


def _model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Embedding(7, 32), nn.Linear(32, 200), nn.Tanh(), nn.Linear(200, 50))


def _first_and_later() -> None:
    """Prints, on one of three ranks, whether a first pass gives what a later one gives."""
    rank = int(os.environ["LOCAL_RANK"])
    dist.init_process_group("gloo", rank=rank, world_size=3, timeout=timedelta(seconds=PATIENCE))
    ids = torch.randint(7, (4, 9), generator=torch.Generator().manual_seed(rank))
    found = {name: _compared(ids, laid, options) for name, (laid, options) in CASES.items()}
    print(json.dumps(found))
    dist.destroy_process_group()


def _compared(ids: torch.Tensor, laid: bool, options: dict[str, Any]) -> tuple[bool, float]:
    """Whether they are equal, and their gap.

    The model is gone at the end: freed after its group was destroyed, it may hang.
    """
    model = DistributedDataParallel(_model(), **options)
    own = model.module.forward
    if laid:
        lay_buckets(model)
    assert model.module.forward == own
    assert all(each.grad is None for each in model.parameters())
    first, later = _gradient(model, ids), _gradient(model, ids)
    return torch.equal(first, later), float((first - later).abs().max())


def _gradient(model: nn.Module, ids: torch.Tensor) -> torch.Tensor:
    model.zero_grad()
    model(ids).square().sum().backward()
    return torch.cat([each.grad.flatten() for each in model.parameters()])  # pyright: ignore


@pytest.mark.ranks
@pytest.mark.slow
def test_equal_passes_give_equal_gradients() -> None:
    for done in run_ranks(3, _first_and_later):
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["laid"] == found["counts unused weights"] == [True, 0.0]
        equal, gap = found["as DDP begins"]  # so that the test sees what it is for
        assert not equal
        assert gap < 1e-5


def test_a_model_without_ddp_is_left_as_it_is() -> None:
    model = _model()
    lay_buckets(model)
    lay_buckets(None)
    assert all(each.grad is None for each in model.parameters())
