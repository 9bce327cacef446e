"""Projection of the forget gradient, by hand and against plain gradients of a model."""

from __future__ import annotations

import lightning as L
import pytest
import torch
from rounding import margin, near
from short_fits import objective, qa, stub_data, stub_module
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


def test_the_average_over_steps_by_hand() -> None:
    x = nn.Parameter(torch.zeros(2))
    robust = GRU(recent=0.75)
    steps = [([3.0, 1.0], [-2.0, 0.0]), ([0.0, 4.0], [0.0, -2.0]), ([1.0, 1.0], [0.0, 4.0])]
    means = [[-1.5, 0.0], [-0.375, -1.5], [-0.09375, 2.625]]
    for (forget, rest), mean in zip(steps, means, strict=True):
        terms = torch.tensor([forget, rest])
        (found,) = robust.whole(Passes([x], lambda part, _, of=terms: of[part] @ x, [0], [1], 0))
        g, m = torch.tensor(forget), torch.tensor(mean)
        expected = g - (g @ m).clamp(max=0) / (m @ m) * m
        assert found is not None
        assert found.tolist() == near(expected.tolist(), size=4.0)
    (kept,) = robust.state()
    assert kept is not None
    assert kept.tolist() == near(means[-1], size=4.0)


def test_a_gradient_that_is_not_finite_leaves_the_average_as_it_was() -> None:
    x, robust = nn.Parameter(torch.zeros(2)), GRU(recent=0.5)
    for rest in ([2.0, 0.0], [float("inf"), 0.0]):
        terms = torch.tensor([[1.0, 1.0], rest])
        robust.whole(Passes([x], lambda part, _, of=terms: (of[part] * x).sum(), [0], [1], 0))
    (kept,) = robust.state()
    assert kept is not None
    assert kept.tolist() == [1.0, 0.0]


def _fit(folder, steps, recent, **arguments) -> torch.Tensor:
    L.seed_everything(1, verbose=False)
    objectives = {key: objective(name) for key, name in BOTH.items()}
    robust = GRU(recent=recent)
    module = stub_module(objectives, {"random_init": 1}, lr=0.5, robust=robust)
    data = stub_data({key: qa(folder / f"{key}.jsonl") for key in BOTH}, batch_size=1, seed=3)
    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, max_steps=steps,
    )  # fmt: skip
    trainer.fit(module, datamodule=data, weights_only=True, **arguments)
    trainer.save_checkpoint(folder / f"{steps}.ckpt")
    return torch.cat([p.detach().flatten() for p in module.policy.parameters()])


def test_a_resumed_run_goes_on_with_the_average(tmp_path) -> None:
    for key, letters in (("forget", "abcd"), ("retain", "dcba")):
        rows = [f'{{"prompt": "{a}", "response": "{a}e"}}' for a in letters]
        (tmp_path / f"{key}.jsonl").write_text("\n".join(rows))
    whole = _fit(tmp_path, 4, 0.3)
    assert not torch.equal(whole, _fit(tmp_path, 4, 1.0))
    _fit(tmp_path, 2, 0.3)
    resumed = _fit(tmp_path, 4, 0.3, ckpt_path=tmp_path / "2.ckpt")
    assert torch.equal(resumed, whole)
    checkpoint = torch.load(tmp_path / "2.ckpt", weights_only=True)
    assert checkpoint.pop("robust")
    torch.save(checkpoint, tmp_path / "2.ckpt")
    assert not torch.equal(_fit(tmp_path, 4, 0.3, ckpt_path=tmp_path / "2.ckpt"), whole)


@pytest.mark.parametrize("recent", [0.0, -0.5, 1.5, float("nan")])
def test_a_share_is_above_0_and_at_most_1(recent) -> None:
    with pytest.raises(RecipeError, match="gru: recent must be above 0 and at most 1"):
        GRU(recent=recent)
