from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from rounding import margin
from stub import stub_model
from torch import nn

from unlearnkit.data.example import Example
from unlearnkit.data.pack import pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.reference.kinds import AdapterOff, Frozen, chosen_reference, frozen_copy
from unlearnkit.engine.step.attention import use_tree_attention
from unlearnkit.engine.step.forward import ForwardPass
from unlearnkit.engine.step.head import Head

BATCH = pack({"forget": StreamBatch((Example((4,), (5, 6), 0, ""),), 2.0, 1.0)}, "rows")
TOKENS = torch.arange(2)


def test_a_copy_stays_as_it_was_and_in_eval_mode() -> None:
    policy = stub_model({"random_init": 1, "dropout": 0.5})
    reference = frozen_copy(policy)
    before = reference.forward(BATCH).logps(TOKENS)
    nn.init.zeros_(policy.lm_head.weight)
    reference.train()
    assert torch.equal(reference.forward(BATCH).logps(TOKENS), before)
    assert not any(p.requires_grad for p in reference.parameters())


def test_its_own_dtype_outlives_a_conversion() -> None:
    kept = frozen_copy(stub_model(), "float64").to(torch.bfloat16)
    assert kept.model.lm_head.weight.dtype == torch.float64
    assert frozen_copy(stub_model()).to(torch.bfloat16).model.lm_head.weight.dtype == torch.bfloat16
    assert isinstance(kept, Frozen)


def test_the_policy_without_its_adapter_is_the_base_and_gets_its_modes_back() -> None:
    plain = stub_model({"random_init": 1})
    expected = frozen_copy(plain).forward(BATCH).logps(TOKENS)
    policy = get_peft_model(plain, LoraConfig(target_modules=["q_proj"], init_lora_weights=False))
    policy.train()
    found = AdapterOff(policy, Head(policy)).forward(BATCH).logps(TOKENS)
    assert torch.equal(found, expected)
    assert policy.training


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": ["q_proj", "v_proj"]},
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["q_proj", "lm_head"], "use_dora": True},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
        {"target_modules": ["q_proj"], "trainable_token_indices": {"lm_head": [5, 7]}},
    ],
    ids=lambda options: " ".join(options),
)
def test_the_adapter_is_switched_once_wherever_it_stands(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A switch walks over all modules: once a step, not once a chunk, nor in the backward pass."""
    policy = get_peft_model(
        stub_model({"random_init": 1}), LoraConfig(init_lora_weights=False, **options)
    )
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "modules_to_save" in name or "trainable_tokens_delta" in name:
                parameter.mul_(3.0).add_(0.5)
    rows = StreamBatch((Example((4,), (5, 6, 7, 8, 9), 0, ""),), 5.0, 1.0)
    batch = pack({"retain": rows})
    use_tree_attention(policy.base_model.model)
    expected = frozen_copy(stub_model({"random_init": 1}))
    use_tree_attention(expected.model)
    seen: list[int] = []
    original = PeftModel.disable_adapter
    monkeypatch.setattr(PeftModel, "disable_adapter", lambda m: seen.append(1) or original(m))
    head = Head(policy, chunk_tokens=1)
    mine = ForwardPass(policy, head, batch)
    values = []
    for reference in (AdapterOff(policy, head), expected):
        theirs = reference.forward(batch)
        values.append(mine.forward_kl(theirs, torch.arange(5), torch.arange(5)))
    values[0].sum().backward()
    assert len(seen) == 1
    assert torch.allclose(*values, rtol=0, atol=margin())
    assert values[0].sum() > 1e-3


def test_auto_is_the_adapter_switched_off_where_that_restores_the_base() -> None:
    lora = LoraConfig(target_modules=["q_proj"])
    assert chosen_reference("auto", lora) == "adapter_off"
    assert chosen_reference("auto", None) == "frozen"
    assert chosen_reference("cached", lora) == "cached"
