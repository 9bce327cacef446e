"""Arguments that the others leave without effect."""

from __future__ import annotations

import pytest

from unlearnkit.arguments import Arguments, refuse_idle
from unlearnkit.attacks import Relearn
from unlearnkit.errors import UserError


class Shift(Arguments):
    def __init__(self, by: float = 0.0, seed: int = 0, tries: int | None = None) -> None:
        self.by, self.seed, self.tries = by, seed, tries

    @property
    def without_effect(self) -> dict[str, str]:
        return {} if self.by else {"seed": "without --by", "tries": "without --by"}


def test_a_value_without_effect_is_refused_unless_it_is_the_default() -> None:
    Shift(1.0, seed=3, tries=2).refuse_without_effect()
    Shift(seed=0).refuse_without_effect()
    with pytest.raises(UserError, match=r"^--seed: has no effect without --by\n") as caught:
        Shift(seed=3).refuse_without_effect()
    assert (caught.value.title, caught.value.hint) == ("usage", "Leave it out.")
    with pytest.raises(UserError, match=r"^--seed, --tries: have no effect without --by\n"):
        Shift(seed=3, tries=2).refuse_without_effect()


def test_at_the_shell_a_default_is_refused_too_and_null_is_not_given() -> None:
    with pytest.raises(UserError, match=r"^--seed: has no effect without --by"):
        Shift().refuse_without_effect({"seed": 0, "tries": None})
    Shift().refuse_without_effect({"by": 0.0})


def test_each_reason_has_its_line() -> None:
    refuse_idle({})
    with pytest.raises(UserError) as caught:
        refuse_idle({"a": "with --x", "b": "without --y", "c": "with --x"})
    assert caught.value.message == (
        "--a, --c: have no effect with --x\n--b: has no effect without --y"
    )
    assert caught.value.hint == "Leave them out."


def test_an_attack_says_it_too() -> None:
    assert Relearn(every=3).without_effect == {}
    assert Relearn(at=[2, 5]).without_effect == {"every": "with --at"}
    with pytest.raises(UserError, match=r"^--every: has no effect with --at"):
        Relearn(at=[2, 5], every=3).refuse_without_effect()
