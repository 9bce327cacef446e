from __future__ import annotations

import math

import pytest
import yaml

from unlearnkit.cli.recipe.document import load_yaml as load_recipe
from unlearnkit.plain import leaves, load_yaml, number, refuse_yaml_bomb, spaced


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.5, "0.500"), (None, "-"), (math.nan, "-"), (12345.678, "1.23e+04"), (-2.0, "-2.000")],
)
def test_three_decimals_or_three_digits_or_a_dash(value, shown) -> None:
    assert number(value) == shown


def test_rows_are_evenly_spaced() -> None:
    assert list(spaced(range(10), 4)) == [0, 2, 5, 7]
    assert list(spaced(range(2), 4)) == list(spaced(range(2), None)) == [0, 1]


def test_leaves_have_the_keys_on_their_way() -> None:
    tree = {"a": [{"b": 1}, {"init_args": {"b": 2}}], "c": [{"d": 3}, 4], "e": None}
    assert dict(leaves(tree)) == {"a.0.b": 1, "a.1.b": 2, "c": [{"d": 3}, 4], "e": None}


BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
)
"""900 characters that stand for 9¹⁰ values."""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "more than 100,000 values"),
        ("a: &a {b: [*a]}", r"alias '\*a' inside"),
        ("[" * 101 + "]" * 101, "more than 100 levels"),
        ("[" * 10**5, "more than 100 levels"),
        ("\n".join(" " * i + "a:" for i in range(200)), "more than 100 levels"),
        ("a: " + "x" * 5 * 2**20, "5,242,883 characters"),
    ],
)
def test_yaml_that_stands_for_too_much_is_refused(text, said) -> None:
    with pytest.raises(ValueError, match=said):
        refuse_yaml_bomb(text)


def test_other_yaml_is_let_pass() -> None:
    # 9 + 9 · 9 + 9 · 81 + 9 · 729 values, and what is no YAML at all.
    for text in ("".join(BOMB.splitlines(keepends=True)[:4]), "[" * 90 + "]" * 90, "a: [", "a: *b"):
        refuse_yaml_bomb(text)


@pytest.mark.parametrize("text", ["!!int x", "!!bool x", "!!timestamp x", "1" + 5000 * "0"])
@pytest.mark.parametrize("load", [load_yaml, load_recipe])
def test_a_value_that_is_not_of_its_type_is_no_yaml(text, load) -> None:
    with pytest.raises(yaml.YAMLError, match="not of its type"):
        load(f"a: {text}")
