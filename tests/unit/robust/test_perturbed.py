"""Forget gradients near the present weights: closed forms, and loops of plain torch."""

from __future__ import annotations

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import EMAWeightAveraging
from rounding import margin
from short_fits import qa, stub_data, train
from torch import nn

from tests.unit.robust.steps import (
    LORA,
    NAMES,
    flat,
    gradient_of,
    step_module,
    step_rows,
    tokens_of,
    trained,
)  # fmt: skip
from unlearnkit.errors import RecipeError
from unlearnkit.robust import SAM, GradientPenalty, Passes, RandomSmoothing, Robust
from unlearnkit.robust.passes import assembled

A = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
B = torch.tensor([0.5, -1.0])


def _quadratic(method: Robust) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and gradient at (1, 2) of a forget term x'Ax/2, in two parts, and a rest b'x."""
    x = nn.Parameter(torch.tensor([1.0, 2.0]))
    terms = (lambda: x @ A @ x / 6, lambda: B @ x, lambda: x @ A @ x / 3)
    passes = Passes([x], lambda part, _first: terms[part](), [0, 2], [1], step=3)
    loss = assembled(passes, method.whole)
    assert x.tolist() == [1.0, 2.0]
    (3 * loss).backward()
    assert x.grad is not None
    return loss.detach(), x.grad / 3


def test_sam_on_a_quadratic() -> None:
    x = torch.tensor([1.0, 2.0])
    g = A @ x  # (4, 7), of norm sqrt(65)
    loss, gradient = _quadratic(SAM(rho=0.5))
    assert loss.item() == pytest.approx(9.0 - 1.5)
    assert torch.allclose(gradient, A @ (x + 0.5 * g / 65**0.5) + B, atol=margin(10), rtol=0)


def test_the_gradient_penalty_of_a_quadratic_is_its_derivative() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    penalised = x @ A @ x / 2 + 0.3 * (A @ x).norm() + B @ x
    (expected,) = torch.autograd.grad(penalised, x)
    for radius in (0.1, 0.3, 1.0):
        _, gradient = _quadratic(GradientPenalty(strength=0.3, radius=radius))
        assert torch.allclose(gradient, expected, atol=margin(10 / radius), rtol=0)


def test_random_smoothing_of_a_quadratic_is_the_gradient_at_the_mean_of_the_draws() -> None:
    method = RandomSmoothing(sigma=0.2, draws=3, seed=4)
    x = nn.Parameter(torch.tensor([1.0, 2.0]))
    passes = Passes([x], lambda *_: x.sum(), [0], [], step=3)
    noise = torch.stack([method.noise(passes, draw)[0] for draw in range(3)])  # pyright: ignore
    assert len({tuple(each) for each in noise.tolist()}) == 3
    _, gradient = _quadratic(method)
    expected = A @ (x + noise.mean(0)) + B
    assert torch.allclose(gradient, expected.detach(), atol=margin(10), rtol=0)


def test_the_noise_has_the_deviation_asked_for() -> None:
    x = nn.Parameter(torch.zeros(100_000))
    passes = Passes([x], lambda *_: x.sum(), [0], [], step=0)
    (noise,) = RandomSmoothing(sigma=0.01).noise(passes, 0)
    assert noise is not None
    assert abs(noise.std().item() / 0.01 - 1) < 0.02


def test_a_zero_gradient_moves_nothing() -> None:
    x = nn.Parameter(torch.tensor([1.0]))
    loss = assembled(Passes([x], lambda *_: 0 * x.sum(), [0], [], 0), SAM().whole)
    loss.backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0]


@pytest.mark.parametrize("lora", [None, LORA], ids=["weights", "lora"])
@pytest.mark.parametrize("layout", ["packed", "rows"])
@pytest.mark.parametrize("tokens", [None, 1, 7])
def test_sam_is_the_loop_of_two_passes(lora, layout, tokens) -> None:
    """Ascent by the whole forget gradient, then each side's gradient where it belongs."""
    forget = step_module({"forget": "npo"}, lora=lora, layout=layout)
    retain = step_module({"retain": "retain_kl"}, lora=lora, layout=layout)
    # Away from the start, where the divergence has no gradient.
    robust = step_module(
        robust=SAM(rho=0.3), lora=lora, layout=layout, max_tokens_per_micro_batch=tokens
    )
    for module in (forget, retain, robust):
        torch.manual_seed(5)
        with torch.no_grad():
            for each in trained(module):
                each.add_(torch.randn_like(each), alpha=0.1)
    g = gradient_of(forget)
    start = flat(trained(forget))
    with torch.no_grad():
        for each, change in zip(
            trained(forget), (0.3 * g / g.norm()).split([p.numel() for p in trained(forget)]),
            strict=True,
        ):  # fmt: skip
            each.add_(change.view_as(each))
    expected = gradient_of(forget) + gradient_of(retain)
    found = gradient_of(robust)
    assert (expected - g - gradient_of(retain)).norm() > 0.05 * g.norm()
    assert torch.allclose(found, expected, atol=margin(8.0), rtol=0)
    assert flat(trained(robust)).equal(start)


def test_what_is_logged_is_of_the_weights_as_they_are() -> None:
    plain, robust = step_module(), step_module(robust=SAM(rho=1.0))
    losses = [each.loss(each.packer(step_rows(each))).item() for each in (plain, robust)]
    assert losses[1] == pytest.approx(losses[0], abs=margin(8.0))
    assert plain.metrics.keys() == robust.metrics.keys()
    for key, value in plain.metrics.items():
        assert float(robust.metrics[key]) == pytest.approx(float(value), abs=margin(8.0))


def test_sam_costs_at_most_two_point_one_plain_steps() -> None:
    counted = []
    for method in (None, SAM()):
        module = step_module({"forget": "npo", "retain": "retain_nll"}, robust=method)
        batches = module.packer(step_rows(module))
        with tokens_of(module) as seen:
            module.loss(batches).backward()
        counted.append(seen[0])
    assert 1.0 < counted[1] / counted[0] <= 2.1


def test_a_fit_with_sam_is_another_than_without(written) -> None:
    folder = written(forget="a:cd b:ee", retain="c:ab d:ba")
    weights = []
    for method in (None, SAM(rho=0.5), [SAM(rho=0.5)]):
        module = step_module(lr=0.1, robust=method)
        streams = {name: qa(folder / f"{name}.jsonl") for name in NAMES}
        train(module, stub_data(streams, batch_size=2, seed=1), max_steps=2)
        weights.append(flat(trained(module)))
    assert weights[1].equal(weights[2])
    assert not torch.allclose(weights[0], weights[1], atol=margin(8.0))


def test_a_step_in_several_micro_batches_is_refused(written) -> None:
    folder = written(forget="a:cd b:ee", retain="c:ab d:ba")
    streams = {name: qa(folder / f"{name}.jsonl") for name in NAMES}
    data = stub_data(streams, batch_size=1, seed=1)
    with pytest.raises(RecipeError, match="accumulate_grad_batches: 2 gives parts of it"):
        train(step_module(robust=SAM()), data, max_steps=1, accumulate_grad_batches=2)


@pytest.mark.parametrize(
    ("names", "method", "said"),
    [
        (NAMES, [SAM(), RandomSmoothing()], "sam and random_smoothing each take"),
        ({"retain": "retain_nll"}, SAM(), "no objective with a weight above 0 reads 'forget'"),
        ({"both": "pdu"}, SAM(), "'both' more than once a step, and pdu keeps a state"),
    ],
)
def test_what_does_not_go_together_is_refused(names, method, said) -> None:
    with pytest.raises(RecipeError, match=said):
        step_module(names, robust=method)


@pytest.mark.parametrize(
    "build",
    [
        lambda: SAM(rho=0.0), lambda: SAM(streams=[]), lambda: RandomSmoothing(draws=0),
        lambda: RandomSmoothing(sigma=-1.0), lambda: GradientPenalty(strength=float("inf")),
        lambda: GradientPenalty(radius=0.0),
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused(build) -> None:
    with pytest.raises(RecipeError, match=r"must be|no stream"):
        build()


class _Seen(L.Callback):
    """Keeps the weights after each step."""

    def __init__(self) -> None:
        self.weights: list[torch.Tensor] = []

    def on_train_batch_end(self, trainer, pl_module, *_) -> None:
        self.weights.append(flat(trained(pl_module)))


def test_averaging_by_lightnings_callback_ends_with_the_mean_of_the_steps(written) -> None:
    folder = written(forget="a:cd b:ee", retain="c:ab d:ba")
    streams = {name: qa(folder / f"{name}.jsonl") for name in NAMES}
    seen, module = _Seen(), step_module(lr=0.1, robust=SAM())
    data = stub_data(streams, batch_size=2, seed=1)
    train(module, data, seen, EMAWeightAveraging(decay=0.5), max_steps=3)
    first, second, third = seen.weights
    expected = 0.5 * (0.5 * first + 0.5 * second) + 0.5 * third
    assert not torch.allclose(third, expected, atol=margin(2.0), rtol=0)
    assert torch.allclose(flat(trained(module)), expected, atol=margin(2.0), rtol=0)


def test_weights_that_are_too_coarse_to_move_are_refused_and_left_as_they_were() -> None:
    # Half a unit in the last place of 1.0 is 2^-8 in bfloat16: a move of 0.001 is rounded away.
    x = nn.Parameter(torch.ones(4, dtype=torch.bfloat16))
    passes = Passes([x], lambda *_: (x * x).sum(), [0], [], 0)
    with pytest.raises(RecipeError, match="weights of bfloat16 are too coarse"):
        assembled(passes, SAM(rho=0.001).whole)
    assert x.tolist() == [1.0] * 4
    assembled(passes, SAM(rho=0.5).whole)
    whole = nn.Parameter(torch.ones(4))
    assembled(Passes([whole], lambda *_: (whole * whole).sum(), [0], [], 0), SAM(0.001).whole)
