"""Noise on the weights: of the size that is said, on matrices alone, the same at every scale."""

from __future__ import annotations

import pytest
import torch
from stub import save_stub, stub_model, stub_tokenizer

from unlearnkit.attacks import Noise, Target, noise
from unlearnkit.attacks.noise import add_noise
from unlearnkit.data.example import Example
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import UserError
from unlearnkit.suites import SuiteContext

ROW = Example((2, 4), (5, 3), 0, "f:0")


def weights(model):
    return {name: value.detach().clone() for name, value in model.named_parameters()}


def test_noise_grows_with_its_scale_and_leaves_norms_alone():
    plain, little, much = (stub_model({"random_init": 1}) for _ in range(3))
    add_noise(little, 0.25, seed=3)
    add_noise(much, 0.5, seed=3)
    before, some, more = map(weights, (plain, little, much))
    for name, weight in before.items():
        if weight.ndim < 2:
            assert torch.equal(weight, more[name])
            continue
        added = more[name] - weight
        torch.testing.assert_close(added, 2 * (some[name] - weight))
        share = added.std(correction=0) / weight.std(correction=0)
        # The standard deviation of n draws is within 4 of its own standard errors.
        assert abs(share - 0.5) < 0.5 * 4 / (2 * weight.numel()) ** 0.5


def test_each_scale_begins_with_the_model_as_it_is(tmp_path, monkeypatch):
    base = str(save_stub({"random_init": 1}, tmp_path / "base"))
    seen = []
    monkeypatch.setattr(
        noise, "measured", lambda model, *_: seen.append(weights(model)) or {"forget/x": 0.0}
    )
    target = Target([ROW], Codec(stub_tokenizer(), 8), SuiteContext(max_length=8))
    curve = Noise(seed=4).run(base, [ROW], target)
    assert [point["scale"] for point in curve] == [None, 0.01, 0.02, 0.05, 0.1]
    expected = stub_model({"random_init": 1})
    add_noise(expected, 0.1, seed=4)
    torch.testing.assert_close(seen[-1], weights(expected))


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(UserError, match="--scale: expected a number above 0"):
        Noise(scale=scale)
