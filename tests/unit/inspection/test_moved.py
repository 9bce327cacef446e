"""How far weights moved."""

import copy

import pytest
from peft import LoraConfig, get_peft_model
from rounding import near
from stub import stub_model

from unlearnkit.errors import UserError
from unlearnkit.inspection import moved


def test_only_what_changed_is_named_the_farthest_first():
    before = stub_model({"random_init": 1})
    after = copy.deepcopy(before)
    weight = after.model.layers[0].mlp.up_proj.weight.data
    weight.mul_(1.5)
    first = after.model.norm.weight.data
    old = float(first.norm())
    first[0] += 1.0
    found = moved(before, after)
    assert [each.name for each in found] == [
        "model.layers.0.mlp.up_proj.weight",
        "model.norm.weight",
    ]
    assert found[0].relative == near(0.5)
    assert found[0].share == 1.0
    assert (found[1].relative, found[1].share) == (near(1 / old), near(1 / first.numel()))


def test_an_adapter_has_other_weights():
    before = stub_model({"random_init": 1})
    after = get_peft_model(copy.deepcopy(before), LoraConfig(r=1, target_modules=["q_proj"]))
    with pytest.raises(UserError, match="do not have the same weights"):
        moved(before, after)
