from __future__ import annotations

import pytest

from unlearnkit.verdict.expression import Expression

NAMES = ("before", "gold")


def test_arithmetic_is_worked_out_with_the_usual_precedence():
    known = {"before": 0.5, "gold": 0.25}
    for text, value in {
        "gold + 0.5 * before": 0.5,
        "(gold + 0.5) * before": 0.375,
        "max(gold, 0.9 * before) - -1": 1.45,
        "min(gold, before, 0.1)": 0.1,
        "before / gold / 2": 1.0,
        "3": 3.0,
    }.items():
        assert Expression(text, NAMES).value(known) == pytest.approx(value)
    assert Expression(0.5, NAMES).value({}) == 0.5


def test_what_has_no_value_is_none():
    assert Expression("gold + 1", NAMES).value({"before": 1.0}) is None
    assert Expression("1 / (gold - gold)", NAMES).value({"gold": 1.0}) is None
    assert Expression("1e308 * 10", NAMES).value({}) is None


def test_comparisons():
    rule = Expression("before > 3 * gold", NAMES, compared=True)
    assert rule.holds({"before": 0.9, "gold": 0.25})
    assert rule.holds({"before": 0.7, "gold": 0.25}) is False
    assert rule.holds({"before": 0.7}) is None


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "before ** 9", "before.real", "[before]", "lambda: 1",
        "max(before, key=gold)", "max()", "abs(before)", "'gold'", "True", "gold if 1 else 2",
        "f'{gold}'", "gold < before", "", "gold +", "1e999", "(" * 150 + "1" + ")" * 150, "a" * 300,
        "gold, before", "~before", "9j",
    ],
)  # fmt: skip
def test_anything_else_is_refused(text):
    with pytest.raises(ValueError, match=r"expression|none of|not known|not finite|expected"):
        Expression(text, NAMES)


def test_an_unknown_name_is_refused_with_those_that_are_known():
    with pytest.raises(ValueError, match=r"'golden' is not known here; names: before, gold"):
        Expression("golden + 1", NAMES)
    with pytest.raises(ValueError, match="expected one comparison"):
        Expression("gold + 1", NAMES, compared=True)
