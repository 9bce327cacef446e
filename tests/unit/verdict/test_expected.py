"""Published results beside runs of the same recipe."""

import json
from pathlib import Path

import pytest

from unlearnkit.errors import UserError
from unlearnkit.suites.meaning import Meaning, stored_meaning
from unlearnkit.verdict.compared import Column, Comparison, OverSeeds
from unlearnkit.verdict.expected import with_expected

ROWS = ("tofu/forget/forget_quality", "tofu/utility/model_utility")
RECIPES = {
    "a": {"model": {"base": {"path": "m"}, "objectives": {"forget": {"name": "npo"}}}},
    "b": {"model": {"base": {"path": "m"}, "objectives": {
        "forget": {"name": "npo"}, "retain": {"name": "retain_nll"}}}},
}  # fmt: skip
ENTRY = {
    "where": {"model.objectives.forget.name": "npo", "model.objectives.retain.name": None},
    "metrics": {ROWS[0]: 0.2, ROWS[1]: 0.5},
}


@pytest.fixture
def file(tmp_path):
    def write(**found):
        path = tmp_path / "expected.json"
        path.write_text(json.dumps(found))
        return path

    return write


def _compared(quality: float, utility: float) -> Comparison:
    values = dict(zip(ROWS, (quality, utility), strict=True))
    metrics = {key: OverSeeds(value, None, 1) for key, value in values.items()}
    columns = tuple(Column(name, (), metrics) for name in ("a", "b"))
    return Comparison(columns, dict.fromkeys(ROWS, Meaning("forget", "up")))


TOLERANCE = {ROWS[0]: {"side_of": 0.05}, ROWS[1]: {"absolute": 0.1}}


def test_the_entry_of_a_recipe_stands_behind_it(file):
    path = file(tolerance=TOLERANCE, entries=[ENTRY])
    found, told = with_expected(_compared(0.06, 0.58), RECIPES, path)
    # The recipe of b has a retain term, which the entry does not.
    assert [each.name for each in found.columns] == ["a", "a, published", "b"]
    published = found.columns[1]
    assert {key: each.mean for key, each in published.metrics.items()} == {
        ROWS[0]: 0.2,
        ROWS[1]: 0.5,
    }
    assert not published.ranked
    assert told == []


def test_what_a_run_lacks_stands_there_with_the_reason(file):
    metrics = {
        "muse/forget/privleak": 9.0,
        ROWS[0]: 0.2,
        "tofu/forget/no_such": 0.3,
        "tofu/none/truth_ratio": 1.0,
        "tofu/retain/truth_ratio": 0.4,
    }
    values = {ROWS[1]: OverSeeds(0.5, None, 1), "own/forget/x": OverSeeds(0.1, None, 1)}
    compared = Comparison(
        (Column("a", (Path("a"),), values),), dict.fromkeys(values, Meaning("utility", "up"))
    )
    path = file(entries=[{**ENTRY, "metrics": metrics}])
    found, told = with_expected(compared, RECIPES, path)
    # Those of a suite are together, behind what the runs have.
    own = [ROWS[1], ROWS[0], *list(metrics)[2:], "own/forget/x", "muse/forget/privleak"]
    assert list(found.metrics) == own
    assert found.metrics[ROWS[0]] == stored_meaning("tofu", "forget/forget_quality")
    assert {key: each.mean for key, each in found.columns[1].metrics.items()} == metrics
    assert told == [
        "a: muse/forget/privleak was not measured (its suite 'muse' was not run), published 9.000",
        f"a: {ROWS[0]} was not measured (no gold model was given), published 0.200",
        "a: tofu/forget/no_such was not measured (the suite 'tofu' has no such metric), "
        "published 0.300",
        "a: tofu/none/truth_ratio was not measured (the suite 'tofu' has no such metric), "
        "published 1.000",
        "a: tofu/retain/truth_ratio was not measured, published 0.400",
    ]
    assert found.notes == [
        "A dash stands where a run did not measure it: "
        "tofu/forget, tofu/none, tofu/retain, muse/forget."
    ]


def test_a_gold_model_that_was_given_is_no_reason(file):
    recipes = {"a": {**RECIPES["a"], "gold": "g"}}
    values = {ROWS[1]: OverSeeds(0.5, None, 1)}
    compared = Comparison((Column("a", (), values),), dict.fromkeys(values, Meaning()))
    told = with_expected(compared, recipes, file(entries=[ENTRY]))[1]
    assert told[0] == f"a: {ROWS[0]} was not measured, published 0.200"


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ((0.04, 0.5), ["a: tofu/forget/forget_quality is 0.040, published 0.200"]),
        ((0.9, 0.61), ["a: tofu/utility/model_utility is 0.610, published 0.500"]),
        ((float("nan"), 0.39), ["a: tofu/forget/forget_quality is -, published 0.200",
                                "a: tofu/utility/model_utility is 0.390, published 0.500"]),
    ],
)  # fmt: skip
def test_what_is_outside_the_tolerance_is_told(file, values, told):
    path = file(tolerance=TOLERANCE, entries=[ENTRY])
    assert with_expected(_compared(*values), RECIPES, path)[1] == told


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"entries": [{**ENTRY, "where": {"model.base.path": "n"}}]}, "no entry of these runs"),
        ({"entry": []}, "no list of entries"),
        ({"entries": [3]}, "entry 1: expected a mapping, found 3"),
        ({"entries": [{**ENTRY, "metrics": {ROWS[0]: "high"}}]}, "expected a number, found 'high'"),
        ({"entries": [{**ENTRY, "metrics": {ROWS[0]: None}}]}, "expected a number, found null"),
        ({"entries": [{"where": ENTRY["where"]}]}, "metrics: expected a mapping, found null"),
        ({"entries": [ENTRY], "tolerance": {ROWS[0]: 0.1}}, "expected absolute or side_of"),
        (
            {"entries": [ENTRY], "tolerance": {ROWS[0]: {"absolute": "x"}}},
            "found {'absolute': 'x'}",
        ),
        (
            {"entries": [ENTRY], "tolerance": {ROWS[1]: {"side_of": None}}},
            "found {'side_of': null}",
        ),
    ],
)
def test_a_file_of_another_form_is_refused(file, found, said):
    with pytest.raises(UserError, match=said):
        with_expected(_compared(0.1, 0.5), RECIPES, file(**found))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match=r"gone\.json cannot be read"):
        with_expected(_compared(0.1, 0.5), RECIPES, tmp_path / "gone.json")
