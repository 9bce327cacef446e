from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from unlearnkit.engine.training.fused import use_fused

ADAMS = (torch.optim.Adam, torch.optim.AdamW)


def stepped(model: nn.Module, optimizer: torch.optim.Optimizer) -> torch.Tensor:
    for step in range(3):
        optimizer.zero_grad()
        model(torch.full((2, 4), step + 1.0)).square().sum().backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("kind", ADAMS)
def test_a_fused_step_gives_the_weights_of_a_plain_one(kind) -> None:
    torch.manual_seed(0)
    model = nn.Linear(4, 3)
    other = copy.deepcopy(model)
    fused = use_fused(kind(model.parameters(), lr=0.1), devices=("cpu",))
    assert fused.param_groups[0]["fused"]
    plain = kind(other.parameters(), lr=0.1, foreach=False)
    torch.testing.assert_close(stepped(model, fused), stepped(other, plain))


@pytest.mark.parametrize("kind", ADAMS)
def test_on_a_cpu_and_where_a_way_is_asked_for_nothing_changes(kind) -> None:
    parameters = list(nn.Linear(2, 2).parameters())
    assert use_fused(kind(parameters)).param_groups[0]["fused"] is None
    for given in ({"foreach": True}, {"foreach": False}, {"fused": False}):
        optimizer = use_fused(kind(parameters, **given), devices=("cpu",))
        assert not optimizer.param_groups[0]["fused"]


def test_other_optimizers_are_left_alone() -> None:
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1)
    before = copy.deepcopy(optimizer.param_groups)[0].keys()
    assert use_fused(optimizer, devices=("cpu",)).param_groups[0].keys() == before
    assert not optimizer.param_groups[0]["fused"]
