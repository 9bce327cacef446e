"""Every kind of wait is found, and what waits for nothing is not."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from waits import Waits

WAITS = {
    "a condition": lambda x: bool(x.sum() > 0),
    "a number": lambda x: x.sum().item(),
    "a float": lambda x: float(x[0]),
    "a list": lambda x: x.tolist(),
    "a copy": lambda x: x.cpu(),
    "an array": lambda x: x.numpy(),
    "a mask": lambda x: x[x > 0],
    "places": lambda x: x.nonzero(),
    "counts": lambda x: x.long().bincount(),
    "equality": lambda x: torch.equal(x, x),
    "repeats": lambda x: x.repeat_interleave(x.long()),
    "a copy to it": lambda x: torch.tensor([1.0]).to(x.device),
    "made on it": lambda x: torch.tensor([1.0], device=x.device),
}
NONE = {
    "arithmetic": lambda x: (x * 2).sum() / len(x),
    "an index": lambda x: x[1] + x[x.argmax()[None]],
    "a masked value": lambda x: torch.where(x > 0, x, 0.0),
    "no wait to it": lambda x: torch.tensor([1.0]).to(x.device, non_blocking=True) + x,
    "numbers of the host": lambda x: (torch.tensor([1.0, 2.0]) * 2).sum().item(),
    "zeros on it": lambda x: torch.zeros(3, device=x.device) + x,
}


def _noted(call: Any) -> list[str]:
    tensor = torch.rand(3) + 1.0
    waits = Waits()
    waits.begin()
    call(tensor)
    waits.end()
    return waits.steps[-1]


@pytest.mark.parametrize("name", WAITS)
def test_a_wait_is_found(name: str) -> None:
    assert len(_noted(WAITS[name])) == 1


@pytest.mark.parametrize("name", NONE)
def test_no_wait_is_made_up(name: str) -> None:
    assert _noted(NONE[name]) == []


def test_what_was_copied_once_is_read_for_nothing() -> None:
    def read(tensor: torch.Tensor) -> None:
        one, two, three = tensor.cpu().unbind()
        assert one.item() + two.item() < 4.1
        assert three.clone().tolist() > 0

    assert len(_noted(read)) == 1


def test_waits_in_a_backward_pass_are_found() -> None:
    class Reads(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
            return grads[0] if grads[0].sum() > 0 else -grads[0]

    assert len(_noted(lambda x: Reads.apply(x.requires_grad_()).sum().backward())) == 1
