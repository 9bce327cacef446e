"""Forget gradients along an attack: a closed form, and a loop of plain modules."""

from __future__ import annotations

import math

import pytest
import torch
from rounding import margin
from torch import nn

from tests.unit.robust.steps import flat, gradient_of, step_module, trained
from unlearnkit.errors import RecipeError
from unlearnkit.robust import TAR, Passes
from unlearnkit.robust.passes import assembled


def test_along_a_line_adam_takes_equal_steps() -> None:
    """The attacker's slope is 1 everywhere, so that it stands at 2.9 and 2.8; the term is 5 x²."""
    x = nn.Parameter(torch.tensor([3.0]))
    terms = (lambda: 5 * (x * x).sum(), lambda: 7 * x.sum())
    passes = Passes([x], lambda part, _: terms[part](), [0], [1], step=0, relearn=lambda _: x.sum())
    method = TAR(steps=2, rate=0.1, scale=2.0, decay=0.5)
    loss = assembled(passes, method.whole)
    loss.backward()
    expected = 2.0 * (math.exp(-0.5) * 10 * 2.9 + 10 * 2.8) + 7
    assert x.grad is not None
    assert x.grad.item() == pytest.approx(expected, abs=margin(100.0))
    assert x.tolist() == [3.0]


@pytest.mark.parametrize("layout", ["packed", "rows"])
@pytest.mark.parametrize("tokens", [None, 1])
def test_it_is_the_loop_of_plain_modules(layout, tokens) -> None:
    attacker, forget, retain = (
        step_module({key: name}, layout=layout)
        for key, name in (
            ("forget", "nll"),
            ("forget", "gradient_ascent"),
            ("retain", "retain_nll"),
        )
    )
    expected = gradient_of(retain)
    optimizer = torch.optim.Adam(trained(attacker), lr=0.01)
    for weight in (3.0 * math.exp(-1.0), 3.0):
        gradient_of(attacker)
        optimizer.step()
        for ours, theirs in zip(trained(forget), trained(attacker), strict=True):
            ours.data.copy_(theirs.data)
        expected = expected + weight * gradient_of(forget)
    robust = step_module(
        {"forget": "gradient_ascent", "retain": "retain_nll"}, layout=layout,
        max_tokens_per_micro_batch=tokens, robust=TAR(steps=2, rate=0.01, scale=3.0, decay=1.0),
    )  # fmt: skip
    start = flat(trained(robust))
    found = gradient_of(robust)
    assert torch.allclose(found, expected, atol=margin(64.0), rtol=0)
    assert flat(trained(robust)).equal(start)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"steps": 0}, "steps must be at least 1"), ({"rate": 0.0}, "rate must be above 0"),
        ({"scale": -1.0}, "scale must be above 0"), ({"decay": -1.0}, "decay must be 0 or more"),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(arguments, said) -> None:
    with pytest.raises(RecipeError, match=said):
        TAR(**arguments)
