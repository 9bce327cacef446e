from __future__ import annotations

import pytest
import torch
from torch import nn

from unlearnkit.errors import RecipeError
from unlearnkit.models.finite import listed, not_finite, refuse_not_finite


def test_weights_that_are_no_numbers_are_named() -> None:
    weights = {
        "good": torch.ones(2),
        "nan": torch.tensor([1.0, float("nan")]),
        "inf": torch.tensor([-float("inf")]),
        "whole": torch.tensor([1, 2]),
        "empty": torch.ones(0),
    }
    assert not_finite(weights.items()) == ["nan", "inf"]


def test_the_first_three_are_listed() -> None:
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"


def test_such_a_model_is_refused() -> None:
    model = nn.Linear(2, 1)
    refuse_not_finite(model, "here")
    nn.init.constant_(model.bias, float("inf"))
    with pytest.raises(RecipeError, match="weights of here are NaN or infinite: bias"):
        refuse_not_finite(model, "here")
