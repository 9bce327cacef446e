"""What a checkpoint keeps of a model."""

import pytest
from peft import LoraConfig

from unlearnkit.engine.training.resume import keep_what_is_trained
from unlearnkit.models.load import add_adapter


@pytest.mark.parametrize("tie", [False, True])
def test_of_an_adapter_nothing_else_is_kept(make_stub, tie):
    """PEFT's names of the adapter are those with ``lora_``; a tied head has a second name."""
    model, _ = make_stub({"tie": tie, "random_init": 1})
    policy = add_adapter(model, LoraConfig(r=1, target_modules=["q_proj"]))
    state = {f"policy.{key}": value for key, value in policy.state_dict().items()}
    assert "policy.base_model.model.lm_head.weight" in state
    expected = [key for key in state if "lora_" in key]
    keep_what_is_trained(state, policy)
    assert list(state) == expected
    assert len(expected) == 4  # A and B in both layers


def test_of_a_model_that_is_trained_whole_a_tied_head_is_kept(make_stub):
    model, _ = make_stub({"tie": True})
    state = {f"policy.{key}": value for key, value in model.state_dict().items()}
    expected = list(state)
    keep_what_is_trained(state, model)
    assert list(state) == expected
