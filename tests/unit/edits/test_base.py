from __future__ import annotations

import math
from pathlib import Path

import pytest

from unlearnkit.edits.base import Edit, as_edit, as_model, refuse_infinite
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


class Shift(Edit):
    def __init__(self, by: float = 0.0, seed: int = 0, tries: int | None = None) -> None:
        self.by, self.seed, self.tries = by, seed, tries

    @property
    def without_effect(self) -> dict[str, str]:
        return {} if self.by else {"seed": "without --by", "tries": "without --by"}

    def write(self, out: str | Path) -> Path:
        self.refuse_without_effect()
        return Path(out)


def test_a_value_without_effect_is_refused_unless_it_is_the_default() -> None:
    assert Shift(1.0, seed=3, tries=2).write("out") == Shift(seed=0).write("out")
    with pytest.raises(UserError, match=r"^--seed: has no effect without --by\n") as caught:
        Shift(seed=3).write("out")
    assert (caught.value.title, caught.value.hint) == ("usage", "Leave it out.")
    with pytest.raises(UserError, match=r"^--seed, --tries: have no effect without --by\n"):
        Shift(seed=3, tries=2).write("out")


def test_at_the_shell_a_default_is_refused_too_and_null_is_not_given() -> None:
    with pytest.raises(UserError, match=r"^--seed: has no effect without --by"):
        Shift().refuse_without_effect({"seed": 0, "tries": None})
    Shift().refuse_without_effect({"by": 0.0})
