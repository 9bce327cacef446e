from __future__ import annotations

from unlearnkit.report.values import metric_rows
from unlearnkit.report.verdict import verdict


def said(**values: dict[str, float]) -> str:
    return verdict(metric_rows({"copyright": values}, {}))


BEFORE = {"forget/rougeL_recall": 1.0, "normal/rougeL_recall": 1.0}


def test_without_gold_the_distance_is_not_judged() -> None:
    text = said(before=BEFORE, after={"forget/rougeL_recall": 0.1, "normal/rougeL_recall": 1.0})
    assert "forget/rougeL_recall went from 1.000 to 0.100" in text
    assert "there is no gold model" in text
    assert "no figure of utility is measurably worse" in text


def test_the_level_of_gold_and_the_cost_are_named() -> None:
    after = {"forget/rougeL_recall": 0.1, "normal/rougeL_recall": 0.5}
    text = said(before=BEFORE, after=after, gold={**BEFORE, "forget/rougeL_recall": 0.12})
    assert text.startswith("Forgotten to the level of the gold model by all 1 figures")
    assert "1 of 1 figures of utility are measurably worse" in text
    text = said(before=BEFORE, after=after, gold={**BEFORE, "forget/rougeL_recall": 0.05})
    assert text.startswith("Not forgotten to the level of the gold model")
    assert "is 0.100 against 0.050 of the gold model" in text
    # What forgot far more than the gold model is not at its level either.
    text = said(before=BEFORE, after=after, gold={**BEFORE, "forget/rougeL_recall": 0.2})
    assert text.startswith("Not forgotten to the level of the gold model")
    assert "is 0.100 beyond the 0.200 of the gold model" in text


def test_nothing_measured_before_and_after_is_said() -> None:
    assert "cannot be judged" in said(before=BEFORE)
