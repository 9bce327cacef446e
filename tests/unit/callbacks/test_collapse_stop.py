from __future__ import annotations

import pytest
import torch
from short_fits import objective, qa, stub_data, stub_module, train

from unlearnkit.callbacks.collapse_stop import CollapseStop, TrainingDiverged
from unlearnkit.errors import RecipeError


def test_a_ceiling_is_above_0() -> None:
    with pytest.raises(RecipeError, match=r"collapse_stop\.retain_kl: expected above 0, found 0"):
        CollapseStop(retain_kl=0)


def test_the_step_that_crosses_is_dropped_and_the_reason_is_a_sentence(written) -> None:
    folder = written(forget="b:d")
    module = stub_module({"forget": objective("gradient_ascent")}, lr=0.1)
    data = stub_data({"forget": qa(folder / "forget.jsonl")}, batch_size=1)
    before = [p.detach().clone() for p in module.policy.parameters()]
    stop = CollapseStop(forget_nll=2.0)  # d costs 4 bits and EOS 3: 2.43 nats a token
    train(module, data, stop, max_steps=5)
    assert stop.reason == "step 0: forget_nll reached 2.426 nats, the ceiling is 2"
    assert all(map(torch.equal, before, module.policy.parameters()))


def test_weights_that_are_no_numbers_end_the_run(written) -> None:
    module = stub_module({"forget": objective("nll")}, lr=float("inf"))
    data = stub_data({"forget": qa(written(forget="b:d") / "forget.jsonl")}, batch_size=1)
    with pytest.raises(TrainingDiverged, match="weights are NaN or infinite") as caught:
        train(module, data, CollapseStop(), max_steps=1)
    assert caught.value.step == 1
