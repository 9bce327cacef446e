"""Ranges of a search, as a recipe writes them."""

import pytest

from unlearnkit.errors import RecipeError
from unlearnkit.search.space import Range, parse_space


class Fixed:
    """A trial that takes the low end, or the last choice."""

    def suggest_float(self, name, low, high, *, log=False):
        return (name, low, high, log)

    def suggest_int(self, name, low, high):
        return low

    def suggest_categorical(self, name, choices):
        return choices[-1]


def test_each_kind_of_range_asks_for_its_own_kind_of_value():
    space = parse_space(
        {
            "lr": {"log": [1e-5, 1e-3]},
            "gamma": {"uniform": [-1, 1]},
            "steps": {"int": [3, 9]},
            "loss": {"choice": ["npo", "simnpo", None]},
        }
    )
    assert space["lr"].suggest(Fixed(), "lr") == ("lr", 1e-5, 1e-3, True)
    assert space["gamma"].suggest(Fixed(), "gamma") == ("gamma", -1, 1, False)
    assert space["steps"].suggest(Fixed(), "steps") == 3
    assert space["loss"].suggest(Fixed(), "loss") is None
    assert space["steps"] == Range("int", (3, 9))


def test_all_mistakes_are_told_at_once():
    with pytest.raises(RecipeError) as error:
        parse_space(
            {
                "a": {"logg": [1, 2]},
                "b": {"log": [0, 1]},
                "c": {"int": [1.5, 2]},
                "d": {"uniform": [2, 1]},
                "e": {"choice": ["x"]},
                "f": 3,
                "g": {"log": [1, True]},
                "h": {"choice": [[1], 2]},
            },
            "tune.search",
        )
    lines = error.value.message.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"tune.search.{c}" for c in "abcdefgh"]
    assert "Did you mean 'log'?" in lines[0]
    assert "above 0" in lines[1]
    assert "two whole numbers, found [1.5, 2]" in lines[2]
    with pytest.raises(RecipeError, match="expected a mapping of settings to ranges, found null"):
        parse_space(None)
