from __future__ import annotations

import math

import pytest
import torch
from stub import stub_model

from unlearnkit.errors import RecipeError
from unlearnkit.models.logit_transform import LogitTransform, logit_transform, transform_fields


def test_scale_and_soft_cap_by_hand() -> None:
    raw = torch.tensor([0.0, 3.0])
    assert torch.equal(LogitTransform()(raw), raw)
    found = LogitTransform(scale=2.0, cap=4.0)(raw)
    assert found.tolist() == pytest.approx([0.0, 4 * math.tanh(6 / 4)])


def test_the_gradient_is_autograds() -> None:
    raw = torch.tensor([0.5, -3.0], dtype=torch.float64, requires_grad=True)
    transform = LogitTransform(scale=2.0, cap=4.0)
    logits = transform(raw)
    (expected,) = torch.autograd.grad(logits.sum(), raw)
    found = transform.backward(torch.ones_like(raw), logits.detach())
    assert torch.allclose(found, expected, rtol=1e-12)


def test_a_model_is_asked_what_it_does() -> None:
    model = stub_model({"random_init": 1})
    assert logit_transform(model) == LogitTransform()
    head = model.lm_head
    head.register_forward_hook(lambda *_: None)
    model.config.logit_scale = 0.5
    plain = model.forward

    def scaled(*arguments, **options):
        found = plain(*arguments, **options)
        found.logits = found.logits * 0.5
        return found

    model.forward = scaled
    assert logit_transform(model) == LogitTransform(scale=0.5)
    assert transform_fields(model.config) == {"logit_scale": 0.5}
    model.config.logit_scale = 0.25
    with pytest.raises(RecipeError, match="a way that is not known"):
        logit_transform(model)
