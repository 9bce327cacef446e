"""Targets and bounds of a search."""

import math

import pytest

from unlearnkit.errors import RecipeError
from unlearnkit.search.wanted import MISSING, Wanted

STAGES = {"before": {"f/em": 1.0, "r/rouge": 0.8}, "gold": {"f/em": 0.2}}


@pytest.mark.parametrize(
    ("given", "value"),
    [
        (0.5, 0.5),
        ("gold", 0.2),
        ("gold + 0.05", 0.25),
        ("0.95 * before", 0.95),
        ("max(before, gold) / 2", 0.5),
    ],
)
def test_a_level_is_a_number_or_relative_to_a_stage(given, value):
    # The distance of 2 to the level, in units of the starting model's.
    distance = Wanted.parse({"f/em": given}).distance({"f/em": 2.0}, STAGES)
    assert distance == pytest.approx((2 - value) / max(1 - value, 0.01))


@pytest.mark.parametrize("given", ["", "silver", "after", True, "__import__('os')", [1]])
def test_what_is_no_level_is_refused(given):
    with pytest.raises(RecipeError, match=r"towards\.f: "):
        Wanted.parse({"f": given})


def test_a_level_of_a_stage_that_was_not_measured_is_refused():
    wanted = Wanted.parse({"f/em": "gold"})
    with pytest.raises(RecipeError, match="refers to gold, but there is no such model"):
        wanted.distance({}, {"before": {"f/em": 1.0}})
    with pytest.raises(RecipeError, match="refers to gold, but it is not measured there"):
        Wanted.parse({"r/rouge": "gold"}).distance({}, STAGES)
    with pytest.raises(RecipeError, match="is no finite number"):
        Wanted.parse({"f/em": "1 / (before - 1)"}).distance({}, STAGES)


def test_distance_is_in_units_of_the_starting_models():
    wanted = Wanted.parse({"f/em": "gold", "r/rouge": "before"})
    # (0.6 - 0.2) / (1.0 - 0.2) = 0.5; the second target is where it began: unit 0.01.
    assert wanted.distance({"f/em": 0.6, "r/rouge": 0.81}, STAGES) == pytest.approx((0.5 + 1.0) / 2)
    assert wanted.distance({"f/em": 0.2, "r/rouge": 0.8}, STAGES) == 0
    assert Wanted.parse({"f/em": "gold"}).distance({"f/em": 1.0}, STAGES) == 1


def test_what_has_nothing_to_measure_is_as_far_as_can_be():
    wanted = Wanted.parse({"f/em": "gold"}, {"r/rouge": 0.5})
    for values in ({}, {"f/em": None, "r/rouge": None}, {"f/em": math.nan, "r/rouge": math.nan}):
        assert wanted.distance(values, STAGES) == MISSING
        assert wanted.violations(values, STAGES) == [MISSING]


def test_bounds_are_broken_on_their_side():
    wanted = Wanted.parse(
        {"f/em": 0}, {"r/rouge": "0.5 * before", "f/em": {"at_most": 0.3, "at_least": 0.1}}
    )
    assert wanted.keep[0][:2] == ("r/rouge", "at_least")
    broken = wanted.violations({"r/rouge": 0.3, "f/em": 0.4}, STAGES)
    assert broken == pytest.approx([0.1, -0.3, 0.1])
    assert wanted.keys == ["f/em", "r/rouge"]


def test_all_mistakes_of_levels_are_told_at_once():
    with pytest.raises(RecipeError) as error:
        Wanted.parse({"a": "x", "b": "gold"}, {"c": {"atleast": 1}, "d": {}})
    assert [line.partition(":")[0] for line in error.value.message.splitlines()] == [
        "towards.a",
        "keep.c",
        "keep.d",
    ]
    with pytest.raises(RecipeError, match="towards: expected a mapping"):
        Wanted.parse({})
