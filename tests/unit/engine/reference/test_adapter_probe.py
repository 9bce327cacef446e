"""The model with its adapter off is the model at the start, or it is no reference."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from architectures import _COMMON
from peft import LoraConfig as PlainConfig
from rounding import near
from transformers import AutoModelForCausalLM, models

from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.reference.adapter_probe import add_restorable_adapter
from unlearnkit.errors import RecipeError
from unlearnkit.models.adapter import LoraConfig
from unlearnkit.models.base import BaseModel
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives.divergence import RetainKL
from unlearnkit.objectives.likelihood import NLL
from unlearnkit.objectives.preference import NPO

TARGETS = ["q_proj", "v_proj"]
RESTORED = {
    "plain": {},
    "lora_bias": {"lora_bias": True},
    "head": {"modules_to_save": ["lm_head"]},
    "embedding": {"modules_to_save": ["embed_tokens"]},
    "norms": {"modules_to_save": ["norm", "input_layernorm"]},
    "tokens": {"trainable_token_indices": [5, 6]},
    "tokens of a tied model": {"trainable_token_indices": [5, 6]},
    "dora": {"use_dora": True},
    "adapted head": {"target_modules": ["lm_head", "q_proj"]},
    "adapted embedding": {"target_modules": ["embed_tokens", "q_proj"]},
    "pissa": {"init_lora_weights": "pissa"},
    "already moved": {"init_lora_weights": False},
}
CHANGED = {
    "bias: all": {"bias": "all"},
    "bias: lora_only": {"bias": "lora_only"},
    "kasa_config": {"kasa_config": {}},
}


def _model(tied: bool = False):
    torch.manual_seed(0)
    given = {"attention_bias": True, "mlp_bias": True, "tie_word_embeddings": tied}
    config = models.llama.LlamaConfig(**{**_COMMON, **given})
    model = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(4)
        else:
            parameter.data.add_(0.3 * torch.randn_like(parameter))
    return model.eval()


def _lora(kind=LoraConfig, **given):
    return kind(**{"r": 4, "target_modules": TARGETS, "task_type": "CAUSAL_LM", **given})


def _module(lora, reference: str, tied: bool = False) -> UnlearningModule:
    objectives = {"forget": NPO(beta=0.1), "retain": RetainKL(stream="forget")}
    module = UnlearningModule(
        objectives, lora=lora, reference=reference, optimizer=partial(torch.optim.SGD, lr=0.5)
    )
    torch.manual_seed(1)  # the adapter's factor that is not 0 is random
    module.use_model(_model(tied))
    return module


def _trained(module: UnlearningModule, steps: int = 3) -> list[float]:
    """The losses of each step of plain gradient descent."""
    rows = (Example((5, 6, 7), (8, 9, 10), 0, "f"), Example((11, 12), (13, 14, 15, 16), 1, "f"))
    (batch,) = module.packer({"forget": StreamBatch(rows, 7, 2)})
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.5)
    found = []
    for _ in range(steps):
        module.loss([batch]).backward()
        found += [float(module.metrics["forget"]), float(module.metrics["retain"])]
        optimizer.step()
        optimizer.zero_grad()
    return found


@pytest.mark.parametrize("setting", RESTORED)
def test_adapter_off_is_the_frozen_copy_at_every_step(setting: str) -> None:
    tied = "tied" in setting
    lora = _lora(**RESTORED[setting])
    off, frozen = (_trained(_module(lora, each, tied)) for each in ("adapter_off", "frozen"))
    assert off == near(frozen, size=10.0)
    assert off[1] != off[-1]


@pytest.mark.parametrize("setting", CHANGED)
def test_auto_is_a_copy_where_the_base_changes(setting: str) -> None:
    lora = _lora(**CHANGED[setting])
    module = _module(lora, "auto")
    assert module.reference_kind == "frozen"
    before = module.reference.model.state_dict()
    expected = _model().state_dict()
    _trained(module)
    assert all(torch.equal(value, expected[key]) for key, value in before.items())
    with pytest.raises(
        RecipeError, match=rf"does not go with model\.lora\.{setting}, which changes"
    ):
        _module(lora, "adapter_off")


@pytest.mark.parametrize("setting", CHANGED)
def test_what_no_setting_tells_is_found_by_changing_all_that_is_trained(setting: str) -> None:
    kind = PlainConfig
    with pytest.raises(RecipeError, match="is not what it was at the start") as refusal:
        add_restorable_adapter(_model(), _lora(kind, **CHANGED[setting]))
    assert ("it trains base_model.model.model.layers.0" in str(refusal.value)) == (
        "bias" in setting
    )


def test_the_search_puts_all_weights_back() -> None:
    torch.manual_seed(2)
    policy = add_restorable_adapter(_model(), _lora(use_dora=True, modules_to_save=["norm"]))
    torch.manual_seed(2)
    expected = _module(_lora(use_dora=True, modules_to_save=["norm"]), "frozen").policy
    torch.manual_seed(1)
    again = add_restorable_adapter(_model(), _lora(use_dora=True, modules_to_save=["norm"]))
    known = dict(expected.named_parameters())
    assert all(torch.equal(p, known[name]) for name, p in again.named_parameters())
    assert [p.requires_grad for p in policy.parameters()] == [
        p.requires_grad for p in expected.parameters()
    ]


@pytest.mark.parametrize(
    ("name", "value"), [("layer_replication", [(0, 2), (0, 2)]), ("alora_invocation_tokens", [7])]
)
def test_adapters_that_cannot_be_merged_are_refused(name: str, value) -> None:
    with pytest.raises(
        RecipeError, match=rf"model\.lora\.{name}: such an adapter cannot be merged"
    ):
        UnlearningModule({"nll": NLL()}, lora=_lora(**{name: value}))


def test_a_quantised_base_under_an_adapter_that_changes_it() -> None:
    base = BaseModel("tiny", quantization="8bit")
    with pytest.raises(RecipeError, match=r"which model\.lora\.bias: all needs") as refusal:
        UnlearningModule({"forget": NPO()}, base=base, lora=_lora(bias="all"))
    assert str(refusal.value.hint).startswith("Set model.reference: cached.")
