"""The benchmark of evaluations compares the values of what it times."""

from __future__ import annotations

import math

import pytest

from benchmarks import evaluation


def test_ratios_are_those_of_one_round_and_values_are_compared() -> None:
    rounds = {"this": iter([9.0, 1.0, 3.0]), "other": iter([9.0, 2.0, 2.0])}
    value = {"this": 0.25, "other": 0.5}

    def ask(name: str) -> evaluation.Ask:
        def one(kind: str) -> dict[str, object]:
            seconds = next(rounds[name])
            # What one checkout alone measures, as an earlier one does not, stops nothing.
            values = {"forget/x": value[name], f"forget/{name}": 1.0}
            return {"wall": seconds, "cpu": 2 * seconds, "values": values}

        return one

    asks = {"this": ask("this"), "other": ask("other")}
    found = evaluation.measure(asks, rounds=2, kinds=("evaluate",))["evaluate"]
    # The first round warms up; then 1 beside 2 and 3 beside 2.
    assert found["this"]["wall"] == {"seconds": 2.0, "over_other": pytest.approx(1.0)}
    assert found["other"]["cpu"] == {"seconds": 4.0, "over_other": 1.0}
    assert found["largest_difference"] == 0.25
    assert found["not_compared"] == ["forget/other", "forget/this"]


@pytest.mark.parametrize("kind", evaluation.KINDS)
def test_each_kind_finds_the_values_of_the_suite(kind) -> None:
    found = evaluation.once(kind)
    assert found["values"]["utility/model_utility"] > 0.9
    assert not math.isnan(found["values"]["forget/forget_quality"])
    assert found["cpu"] > 0
