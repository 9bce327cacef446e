from __future__ import annotations

import math

import pytest

from unlearnkit.edits.base import as_edit, as_model, refuse_infinite
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.models.base import BaseModel


def test_a_model_that_cannot_be_used_is_the_fault_of_an_option() -> None:
    def fail() -> None:
        with as_edit():
            raise RecipeError("model.base: there is no folder x", hint="Give one.")

    with pytest.raises(UserError, match=r"^there is no folder x") as caught:
        fail()
    assert (caught.value.title, caught.value.hint) == ("edit", "Give one.")
    assert not isinstance(caught.value, RecipeError)


def test_options_are_finite_numbers_and_all_wrong_ones_are_told() -> None:
    refuse_infinite(scale=1.0)
    with pytest.raises(UserError, match=r"--scale: .*nan\n--alpha: .*inf"):
        refuse_infinite(scale=math.nan, beta=0.0, alpha=math.inf)


def test_a_name_is_a_model() -> None:
    assert as_model("tiny") == BaseModel("tiny")
    model = BaseModel("tiny", first_blocks=1)
    assert as_model(model) is model
