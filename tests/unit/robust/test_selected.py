"""Collapsed directions and salient neurons, by hand."""

from __future__ import annotations

from contextlib import contextmanager
from types import SimpleNamespace

import pytest
import torch
from rounding import margin, near
from torch import nn

from tests.unit.robust.steps import NAMES, flat, gradient_of, step_module, trained
from unlearnkit.errors import RecipeError
from unlearnkit.robust import SURE, Passes, RepSelect, Robust

VALUES = (8.0, 4.0, 2.0, 1.0)


def _basis() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(3)
    return torch.linalg.qr(torch.randn(4, 4)).Q, torch.linalg.qr(torch.randn(6, 4)).Q


def _of(values) -> torch.Tensor:
    left, right = _basis()
    return left @ torch.diag(torch.tensor(values)) @ right.T


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, (2.0, 4.0, 2.0, 1.0)),  # of the first two: 8 * (4 / 8)^2, and 4
        ({"sides": "inputs"}, (4.0, 4.0, 2.0, 1.0)),
        ({"sides": "outputs"}, (4.0, 4.0, 2.0, 1.0)),
        ({"collapse": "hard"}, (0.0, 0.0, 2.0, 1.0)),
        # The others' largest are the last two, 1 and 3: 1 stays, 2 * (1 / 3)^2
        ({"directions": "rest"}, (8.0, 4.0, 2.0 / 9, 1.0)),
        ({"directions": "rest", "collapse": "hard"}, (8.0, 4.0, 0.0, 0.0)),
    ],
)
def test_the_first_half_of_four_directions_is_collapsed(arguments, expected) -> None:
    x, bias = nn.Parameter(torch.zeros(4, 6)), nn.Parameter(torch.zeros(2))
    forget, rest = _of(VALUES), _of((0.0, 0.25, 3.0, 1.0))
    terms = (
        lambda: (forget * x).sum() + bias @ torch.tensor([1.0, -2.0]),
        lambda: (rest * x).sum() + 0 * bias.sum(),
    )
    passes = Passes([x, bias], lambda part, _: terms[part](), [0], [1], step=0)
    method = RepSelect(share=0.5, **arguments)
    found, vector = method.whole(passes)
    assert found is not None
    assert vector is not None
    assert torch.allclose(found, _of(expected) + rest, atol=margin(64.0), rtol=0)
    assert vector.tolist() == [1.0, -2.0]


def test_a_gradient_of_lower_rank_keeps_what_it_has() -> None:
    x = nn.Parameter(torch.zeros(4, 6))
    forget = _of((3.0, 0.0, 0.0, 0.0))
    passes = Passes([x], lambda *_: (forget * x).sum(), [0], [], step=0)
    (found,) = RepSelect(share=0.5).gradient(passes)
    assert found is not None
    assert torch.allclose(found, forget, atol=margin(64.0), rtol=0)


def test_salient_neurons_alone_have_the_gradient_of_all_terms() -> None:
    """Lengths 5 and 1 of the rows of the matrix, 2 and 6 of the bias: the median is 3.5."""
    x, bias = nn.Parameter(torch.zeros(2, 2)), nn.Parameter(torch.zeros(2))
    matrix, vector = torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([2.0, -6.0])
    terms = (lambda: (matrix * x).sum() + vector @ bias, lambda: x.sum() + bias.sum())
    for percentile, expected in {
        50: ([[4.0, 5.0], [0.0, 0.0]], [0.0, -5.0]),
        0: ([[4.0, 5.0], [1.0, 2.0]], [3.0, -5.0]),
        100: ([[0.0, 0.0], [0.0, 0.0]], [0.0, -5.0]),
    }.items():
        passes = Passes([x, bias], lambda part, _: terms[part](), [0], [1], step=0)
        found = SURE(percentile).whole(passes)
        wanted = flat([torch.tensor(each) for each in expected])
        assert flat(found).tolist() == near(wanted.tolist(), size=8.0)


@pytest.mark.parametrize("layout", ["packed", "rows"])
@pytest.mark.parametrize("method", [SURE(percentile=90.0), RepSelect()])
def test_a_model_in_parts_has_the_gradient_of_the_whole(layout, method) -> None:
    found = []
    for most in (None, 1):
        module = step_module(NAMES, layout=layout, max_tokens_per_micro_batch=most, robust=method)
        torch.manual_seed(5)
        with torch.no_grad():
            for each in trained(module):
                each.add_(torch.randn_like(each), alpha=0.1)
        found.append(gradient_of(module))
    assert torch.allclose(*found, atol=margin(64.0), rtol=0)
    if isinstance(method, SURE):
        neurons = torch.cat([p.grad.abs().flatten(1).sum(1) if p.dim() > 1 else p.grad.abs()
                             for p in trained(module)])  # fmt: skip
        assert neurons.ne(0).float().mean() <= 0.11
    assert flat([p.grad for p in trained(module)]).any()


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: RepSelect(share=1.0), "share must be above 0 and below 1"),
        (lambda: SURE(percentile=101.0), "percentile must be from 0 to 100"),
    ],
)
def test_settings_out_of_range_are_refused(build, said) -> None:
    with pytest.raises(RecipeError, match=said):
        build()


def test_directions_of_the_other_terms_need_other_terms() -> None:
    with pytest.raises(RecipeError, match="rep_select projects by the gradient of the other"):
        step_module({"forget": "npo"}, robust=RepSelect(directions="rest"))


@pytest.mark.parametrize("name", Robust.registered())
def test_a_step_without_forget_rows_is_that_of_the_others(name) -> None:
    x = nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    passes = Passes(
        [x], lambda *_: (x**2).sum() / 2, [], [0], 0, perturbed=unperturbed, relearn=lambda _: x
    )
    method = Robust.registered()[name](**({"follow_retain": True} if name == "gru" else {}))
    (found,) = method.whole(passes)
    # Of SURE no neuron is salient.
    assert found.tolist() == (torch.zeros(2, 2) if name == "sure" else x).tolist()


@contextmanager
def unperturbed(blocks):
    yield SimpleNamespace(vectors=[])
