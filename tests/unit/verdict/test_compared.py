from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from unlearnkit.errors import UserError
from unlearnkit.suites.meaning import Meaning
from unlearnkit.verdict.compared import Column, Comparison, OverSeeds

FORGET, KEPT = "copyright/forget/rougeL_recall", "copyright/normal/rougeL_recall"
MEANINGS = {FORGET: Meaning("forget", "down", 3), KEPT: Meaning("protected", "up", 3)}


def value(found):
    return found if isinstance(found, OverSeeds) else OverSeeds(found, None, 1)


def comparison(address, before=1.0, gold=0.2, verdicts=None, **runs):
    beside = [Column(n, (), {address: value(v)}, ranked=False)
              for n, v in (("before", before), ("gold", gold)) if v is not None]  # fmt: skip
    verdicts = verdicts or {}
    columns = [
        Column(name, (Path(name),), {address: value(v)}, verdict=verdicts.get(name))
        for name, v in runs.items()
    ]
    return Comparison((*beside, *columns), {address: MEANINGS[address]})


def best(address, **runs):
    return comparison(address, **runs).best(address)


def test_of_forgetting_the_nearest_to_gold_is_best_on_either_side():
    assert best(FORGET, a=0.0, b=0.25, c=0.5) == ("b",)
    assert best(FORGET, a=0.1, b=0.35) == ("a",)
    assert best(FORGET, gold=None, a=0.0, b=0.25) == ("a",)


def test_of_what_is_kept_nothing_is_better_than_before():
    assert best(KEPT, before=0.8, a=0.8, b=0.95, c=0.7) == ("a", "b")
    assert best(KEPT, before=0.8, a=0.6, b=0.7) == ("b",)
    assert best(KEPT, before=None, a=0.8, b=0.95) == ("b",)


def test_a_collapsed_run_is_never_best():
    verdicts = {"a": "collapsed", "b": "damaged"}
    assert best(FORGET, a=0.2, b=0.3, c=0.4, verdicts=verdicts) == ("b",)
    verdicts = {"a": "near gold, collapsed"}
    assert best(FORGET, a=0.2, b=0.3, c=0.4, verdicts=verdicts) == ("b",)
    # Of one that is left there is nothing to choose from.
    assert best(FORGET, a=0.2, b=0.3, verdicts=verdicts) == ()


def test_what_cannot_be_told_from_the_best_is_best_too():
    wide = OverSeeds(0.3, None, 1, (0.15, 0.4))
    assert best(FORGET, a=0.2, b=wide, c=0.39) == ("a", "b")
    # One standard deviation to both sides of 0.3 ends at 0.2.
    assert best(FORGET, a=0.2, b=OverSeeds(0.3, 0.1, 3), c=OverSeeds(0.3, 0.05, 3)) == ("a", "b")


def test_a_label_has_the_suite_where_there_are_several_beside_fluency():
    one = Comparison((), {FORGET: MEANINGS[FORGET], "fluency/kept/distinct_2": Meaning()})
    assert one.label(FORGET) == "forget/rougeL_recall"
    assert one.label("fluency/kept/distinct_2") == "fluency/kept/distinct_2"
    two = Comparison((), {**one.metrics, "tofu/forget/probability": Meaning()})
    assert two.label(FORGET) == FORGET


def test_a_choice_of_rows_and_columns():
    whole = comparison(FORGET, a=0.1, b=0.3)
    assert [c.name for c in whole.only(None, ["2", "gold"]).columns] == ["gold", "b"]
    assert [c.name for c in whole.only(None, ["a"]).columns] == ["a"]
    assert list(whole.only(["forget/*"], None).metrics) == [FORGET]
    assert list(whole.only([FORGET], None).metrics) == [FORGET]
    with pytest.raises(UserError, match=r"--metric: nothing is called 'forget/rouge'"):
        whole.only(["forget/rouge"], None)
    with pytest.raises(UserError, match=r"--column: nothing is called '3'") as refused:
        whole.only(None, ["3"])
    assert "1, 2, before, gold, a, b" in (refused.value.hint or "")


def test_of_other_rows_nothing_is_best_and_why_is_said():
    whole = comparison(FORGET, a=0.1, b=0.35)
    assert whole.best(FORGET) == ("a",)
    assert whole.notes == []
    apart = replace(whole, unlike=frozenset({"copyright/forget"}))
    assert apart.best(FORGET) == ()
    assert apart.notes == [
        "The runs were measured on different rows of forget: these values cannot be compared, and "
        "none is best."
    ]
    before, gold, *runs = apart.columns
    without = replace(apart, columns=(before, replace(gold, metrics={}), *runs))
    assert without.notes[1:] == [
        "A dash of before and gold stands where the runs do not agree on the value."
    ]
    # Rows that are not shown are not spoken of.
    assert replace(comparison(KEPT, a=0.1, b=0.3), unlike=apart.unlike).notes == []


def test_what_a_run_did_not_measure_is_named():
    unseen, leak = "copyright/unseen/nll", "copyright/forget/leak_rate"
    whole = comparison(FORGET, a=0.1, b=0.3)
    before, gold, a, b = whole.columns
    a = replace(a, metrics={**a.metrics, unseen: value(0.5), leak: value(0.1)})
    found = replace(
        whole,
        columns=(before, gold, a, b),
        metrics={
            **whole.metrics,
            unseen: Meaning("unseen", "down"),
            leak: Meaning("forget", "down"),
        },
    )
    assert found.notes == [
        "A dash stands where a run did not measure it: forget/leak_rate, unseen."
    ]
    # Neither a published column nor that of a starting model is a run.
    assert replace(found, columns=(before, gold, a)).notes == []
