"""Changes that save memory are those that the formula finds smaller."""

from __future__ import annotations

from dataclasses import replace

import pytest

from unlearnkit.cost import Shapes, Training, memory_of
from unlearnkit.cost.proposals import enough, weighed

LLAMA = Shapes(4096, 14336, 32, 32, 8, 128, 128256)
FULL = Training(reference="frozen", tokens=8192)


def _keys(run: Training) -> list[str]:
    return [each.setting.partition(":")[0] for each in weighed(LLAMA, run)]


def test_each_saving_is_what_the_formula_gives() -> None:
    now = memory_of(LLAMA, FULL).peak
    found = {each.setting: each for each in weighed(LLAMA, FULL)}
    cached = found["model.reference: cached"]
    assert cached.peak == memory_of(LLAMA, replace(FULL, reference="cached")).peak
    assert cached.saves == now - cached.peak > 0
    assert not cached.other_method
    assert found["model.lora: {r: 16, target_modules: all-linear}, bfloat16 base"].other_method


@pytest.mark.parametrize(
    ("changes", "absent", "present"),
    [
        ({}, "trainer.strategy", "model.reference"),
        ({"replicas": 8}, "none", "trainer.strategy"),
        # fsdp2 refuses quantised weights.
        ({"shards": 8}, "model.base.quantization", "model.max_tokens_per_micro_batch"),
        ({"shards": 8}, "model.optimizer.name", "model.reference"),
        ({"rank": 16, "reference": "adapter_off"}, "model.lora", "model.base.quantization"),
        ({"optimizer": "sgd"}, "model.optimizer.name", "trainer.precision"),
    ],
)
def test_changes_are_those_that_the_run_can_take(changes, absent, present) -> None:
    found = _keys(replace(FULL, **changes))
    assert absent not in found
    assert present in found


def test_another_method_is_the_last_resort() -> None:
    peak = memory_of(LLAMA, FULL).peak
    settings, smaller = enough(LLAMA, FULL, 0.9 * peak) or ([], 0.0)
    assert settings
    assert smaller <= 0.9 * peak
    assert not any(each.startswith("model.lora") for each in settings)
    tight, _ = enough(LLAMA, FULL, 30 * 2**30) or ([], 0.0)
    assert any(each.startswith("model.lora") for each in tight)
    assert enough(LLAMA, FULL, 2**20) is None
