"""Projection of the forget gradient, by hand and against plain gradients of a model."""

from __future__ import annotations

import pytest
import torch
from rounding import margin, near
from short_fits import objective, stub_module
from torch import nn

from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.errors import RecipeError
from unlearnkit.robust import GRU, Gradients, Passes

BOTH = {"forget": "gradient_ascent", "retain": "retain_nll"}


def _gradient(forget, rest, **arguments) -> Gradients:
    """Of linear terms with these gradients."""
    x = nn.Parameter(torch.zeros(2))
    terms = torch.tensor([forget, rest])
    return GRU(**arguments).whole(Passes([x], lambda part, _: terms[part] @ x, [0], [1], 0))


@pytest.mark.parametrize(
    ("forget", "rest", "expected"),
    [
        ([3.0, 1.0], [-2.0, 0.0], [0.0, 1.0]),
        ([1.0, 2.0], [-1.0, -1.0], [-0.5, 0.5]),
        ([3.0, 1.0], [2.0, 0.0], [3.0, 1.0]),  # nothing is against it
        ([3.0, 1.0], [0.0, 0.0], [3.0, 1.0]),
    ],
)
def test_projection_by_hand(forget, rest, expected) -> None:
    (found,) = _gradient(forget, rest)
    assert found is not None
    assert found.tolist() == near(expected, size=3.0)
    (followed,) = _gradient(forget, rest, follow_retain=True)
    assert followed is not None
    both = [a + b for a, b in zip(expected, rest, strict=True)]
    assert followed.tolist() == near(both, size=3.0)


def _loss_gradient(names, **options) -> torch.Tensor:
    torch.manual_seed(0)
    objectives = {key: objective(name) for key, name in names.items()}
    module = stub_module(objectives, {"random_init": 1}, **options)
    rows = {  # the same answers, so that ascent is against descent
        name: StreamBatch((Example((1, 2), (3, 4, last), 0, "a:1"),), 3.0, 1.0)
        for name, last in (("forget", 1), ("retain", 2))
        if name in module.streams_read
    }
    module.loss(module.packer(rows)).backward()
    gradients = [p.grad for p in module.policy.parameters()]
    return torch.cat([g.flatten() for g in gradients if g is not None])


@pytest.mark.parametrize("tokens", [None, 1])
def test_a_model_gets_the_projection_of_plain_gradients(tokens) -> None:
    forget, retain = (_loss_gradient({key: name}) for key, name in BOTH.items())
    assert forget @ retain < -0.1 * forget.norm() * retain.norm()
    expected = forget - (forget @ retain) / (retain @ retain) * retain
    found = _loss_gradient(BOTH, robust=GRU(), max_tokens_per_micro_batch=tokens)
    assert torch.allclose(found, expected, atol=margin(8.0), rtol=0)
    assert (found @ retain).item() == near(0.0, size=8.0 * len(found) ** 0.5)


def test_it_needs_another_term() -> None:
    with pytest.raises(RecipeError, match="gru projects by the gradient of the other objectives"):
        _loss_gradient({"forget": "npo"}, robust=GRU())
