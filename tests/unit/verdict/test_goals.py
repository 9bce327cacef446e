from __future__ import annotations

import pytest

from unlearnkit.verdict.goals import check_goals, faults_of, read_goals
from unlearnkit.verdict.values import metric_rows

ROWS = metric_rows(
    {
        "copyright": {
            "before": {"normal/rougeL_recall": 0.8},
            "after": {
                "normal/rougeL_recall": 0.7,
                "forget/rougeL_recall": 0.25,
                "forget/nll": None,
            },
            "gold": {"forget/rougeL_recall": 0.2},
        }
    },
    {},
)["copyright"]


def met(address, **bounds):
    (result,) = check_goals(read_goals({f"copyright/{address}": bounds}), ROWS)
    return result


def test_bounds_are_of_the_value_after():
    # 0.25 against 0.2 + 0.05, and 0.7 against 0.9 x 0.8 = 0.72.
    assert met("forget/rougeL_recall", at_most="gold + 0.06").met
    assert not met("forget/rougeL_recall", at_most="gold + 0.04").met
    assert not met("normal/rougeL_recall", at_least="0.9 * before").met
    assert met("normal/rougeL_recall", at_least="0.85 * before").met
    assert met("normal/rougeL_recall", at_least=0.7).met
    assert met("normal/rougeL_recall", at_most=0.7).met


def test_what_was_not_measured_is_not_met_and_that_is_said():
    for address, bounds, said in (
        ("forget/nll", {"at_least": 1}, "not measured"),
        ("unseen/nll", {"at_least": 1}, "not measured"),
        ("normal/rougeL_recall", {"at_least": "gold"}, "gold cannot be worked out"),
    ):
        result = met(address, **bounds)
        assert not result.met
        assert said in result.sentence


def test_the_sentence_has_value_and_bound():
    sentence = met("normal/rougeL_recall", at_least="0.9 * before").sentence
    assert sentence == "copyright/normal/rougeL_recall: 0.700, at least 0.720 (0.9 * before)"
    sentence = met("normal/rougeL_recall", at_most=0.5).sentence
    assert sentence == "copyright/normal/rougeL_recall: 0.700, at most 0.500"


def test_every_fault_is_named_with_its_place():
    faults = faults_of(
        {
            "a/b/c": {"at_mots": 1, "at_most": "golden", "at_least": [1]},
            "d/e/f": 3,
            "g/h/i": {"at_most": True},
        }
    )
    assert [path for path, _ in faults] == [
        ("a/b/c", "at_mots"), ("a/b/c", "at_most"), ("a/b/c", "at_least"), ("d/e/f",),
        ("g/h/i", "at_most"),
    ]  # fmt: skip
    said = [message for _, message in faults]
    assert "Did you mean 'at_most'? It has: at_most, at_least." in said[0]
    assert "names: before, gold" in said[1]
    assert "{at_most: gold + 0.05}" in said[3]
    assert faults_of(["a"])[0][0] == ()
    assert faults_of(None) == faults_of({}) == []
    with pytest.raises(ValueError, match=r"goals\.d/e/f: expected bounds"):
        read_goals({"d/e/f": 3})
