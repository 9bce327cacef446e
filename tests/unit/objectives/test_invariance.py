"""The invariance penalty: by hand, and against a second derivative of a plain model."""

from __future__ import annotations

import math

import pytest
import torch
from rounding import margin, near
from short_fits import stub_module

from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.errors import RecipeError
from unlearnkit.functional import dummy_slope
from unlearnkit.objectives import ILU

ROWS = {"one": [((1, 2), (3, 4, 1)), ((2, 1), (4, 3))], "other": [((3,), (4, 1, 1, 2))]}


def test_slope_by_hand() -> None:
    """Logits (log 2, 0, 0): their mean is log 2 / 2, and each true one is taken away from it."""
    logps = torch.tensor([2.0, 1.0, 1.0]).log().log_softmax(-1)
    found = dummy_slope(logps, -(logps.exp() * logps).sum())
    assert found.tolist() == near([-0.5 * math.log(2), *[0.5 * math.log(2)] * 2])


def _plain(model):
    """The penalty with its factor in the loss, of plain passes row by row."""
    total = torch.zeros(())
    for rows in ROWS.values():
        factor, losses = torch.ones((), requires_grad=True), []
        for prompt, response in rows:
            logits = model(torch.tensor([[*prompt, *response]]), use_cache=False).logits[0]
            logps = (factor * logits[len(prompt) - 1 : -1]).log_softmax(-1)
            losses.append(-logps[torch.arange(len(response)), torch.tensor(response)])
        (slope,) = torch.autograd.grad(torch.cat(losses).mean(), factor, create_graph=True)
        total = total + slope.square()
    return total


@pytest.mark.parametrize("layout", ["packed", "rows"])
def test_loss_and_gradient_are_those_of_a_second_derivative(layout) -> None:
    torch.manual_seed(0)
    module = stub_module({"it": ILU(environments=["one", "other"])}, {"random_init": 1},
                         layout=layout)  # fmt: skip
    with torch.no_grad():
        for parameter in module.policy.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.3)
    rows = {
        stream: StreamBatch(
            tuple(Example(*row, place, f"{stream}:{place}") for place, row in enumerate(given)),
            float(sum(len(response) for _, response in given)),
            float(len(given)),
        )
        for stream, given in ROWS.items()
    }
    loss = module.loss(module.packer(rows))
    loss.backward()
    found = [p.grad for p in module.policy.parameters()]
    module.zero_grad()
    expected = _plain(module.policy)
    expected.backward()
    assert expected.item() > 0.01
    assert loss.item() == near(expected.item(), size=8.0)
    for ours, parameter in zip(found, module.policy.parameters(), strict=True):
        if parameter.grad is not None:
            assert ours is not None
            assert torch.allclose(ours, parameter.grad, atol=margin(8.0), rtol=0)


def test_micro_batches_are_refused() -> None:
    with pytest.raises(RecipeError, match="function of the whole batch"):
        stub_module({"it": ILU()}, {"random_init": 1}, max_tokens_per_micro_batch=8)


@pytest.mark.parametrize(
    "arguments",
    [{"environments": []}, {"environments": ["a", "a"]}, {"environments": ["a"], "stream": "b"}],
)
def test_environments_are_named_once(arguments) -> None:
    with pytest.raises(RecipeError, match="ilu: environments are one or more streams, each once"):
        ILU(**arguments)
