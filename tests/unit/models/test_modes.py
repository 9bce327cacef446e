from __future__ import annotations

import pytest
import torch
from stub import stub_model
from torch import nn
from transformers import GenerationConfig

from unlearnkit.models.modes import captured_states, evaluating, without_own_settings


def test_each_module_gets_its_own_mode_back_after_an_error_too() -> None:
    model = nn.Sequential(nn.Dropout(), nn.Dropout())
    model[1].eval()
    seen: list[bool] = []
    model[1].register_forward_hook(lambda *_: seen.extend(m.training for m in model.modules()))
    with pytest.raises(TypeError, match="str"), evaluating(model):
        model[1](model[0](torch.ones(1))) + "str"
    assert seen == [False] * 3
    assert (model.training, model[0].training, model[1].training) == (True, True, False)


def test_own_generation_settings_are_laid_aside() -> None:
    model = stub_model()
    own = model.generation_config = GenerationConfig(top_k=3)
    with without_own_settings(model):
        assert model.generation_config.top_k != 3
    assert model.generation_config is own


def test_states_are_caught_and_the_head_sees_one_position() -> None:
    model = stub_model({"random_init": 1})
    ids = torch.tensor([[4, 5, 6]])
    whole = model(ids).logits
    with captured_states(model.lm_head) as caught:
        assert model(ids).logits.shape[1] == 1
    assert torch.equal(model.lm_head(caught[0]), whole)
    assert model(ids).logits.shape[1] == 3
