from __future__ import annotations

from typing import Any

from unlearnkit.suites.parts.context import SuiteContext


def test_values_of_the_gold_model_are_computed_once_where_they_are_kept() -> None:
    gold: Any
    model: Any
    gold, model, asked = object(), object(), []

    def make(of: object) -> int:
        asked.append(of)
        return len(asked)

    kept, alone = SuiteContext(gold=gold, kept={}), SuiteContext(gold=gold)
    assert [kept.of_gold("a", model, 9, make) for _ in range(3)] == [1, 1, 1]
    assert kept.of_gold("b", model, 9, make) == 2
    assert [alone.of_gold("a", model, 9, make) for _ in range(2)] == [3, 4]
    assert asked == [gold] * 4


def test_the_gold_model_gives_its_own_values() -> None:
    gold: Any
    model: Any
    gold, model = object(), object()

    def never(of: object) -> int:
        raise AssertionError

    context = SuiteContext(gold=gold, kept={})
    assert context.of_gold("a", gold, 7, never) == 7
    assert context.of_gold("a", model, 9, never) == 7
