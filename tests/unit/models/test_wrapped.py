"""The model below its wrappers."""

from __future__ import annotations

import torch
from architectures import tiny_model
from torch import nn

from unlearnkit.models.rope import length_scalings
from unlearnkit.models.wrapped import unwrapped


def test_compiled_and_parallel_models_are_looked_into():
    model = tiny_model("llama")
    compiled = torch.compile(model)
    assert unwrapped(model) is model
    assert unwrapped(compiled) is model
    assert unwrapped(nn.DataParallel(compiled)) is model
    assert length_scalings(nn.DataParallel(model)) == ()


def test_what_is_no_language_model_is_left():
    linear = nn.Linear(1, 1)
    assert unwrapped(linear) is linear
