"""Shapes count the weights that models have."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    LlamaConfig,
    MixtralConfig,
    PreTrainedConfig,
    Qwen3MoeConfig,
)

from unlearnkit.cost import Shapes, shapes_of
from unlearnkit.errors import UserError

SIZES = {
    "vocab_size": 384, "hidden_size": 128, "intermediate_size": 448, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 32,
}  # fmt: skip


def _on_no_device(config: PreTrainedConfig):
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("tied", [False, True])
def test_weights_of_a_llama_are_counted_as_it_has_them(tied) -> None:
    config = LlamaConfig(**SIZES, tie_word_embeddings=tied)
    model, shapes = _on_no_device(config), shapes_of(config)
    assert shapes.weights == sum(p.numel() for p in model.parameters())
    adapted = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear"))
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert shapes.adapter(16) == trained


@pytest.mark.parametrize(
    "config",
    [
        GPT2Config(n_embd=128, n_layer=2, n_head=4, vocab_size=384, n_positions=8),
        GPTNeoXConfig(
            **{k: v for k, v in SIZES.items() if k not in ("head_dim", "num_key_value_heads")}
        ),
        MixtralConfig(**SIZES, num_local_experts=4, num_experts_per_tok=2),
        Qwen3MoeConfig(**SIZES, num_experts=8, num_experts_per_tok=2, moe_intermediate_size=64),
        Gemma3TextConfig(**SIZES),
    ],
    ids=lambda config: config.model_type,
)
def test_weights_of_other_families_lack_only_biases_and_norms(config) -> None:
    counted = sum(p.numel() for p in _on_no_device(config).parameters())
    assert 0.98 * counted < shapes_of(config).weights <= counted
    assert shapes_of(config.to_dict()) == shapes_of(config)


def test_counted_weights_take_the_place_of_the_formula() -> None:
    shapes = shapes_of(LlamaConfig(**SIZES))
    more = replace(shapes, counted=shapes.weights + 2 * 600)
    assert more.weights == shapes.weights + 1200
    assert more.block == shapes.block + 600


def test_a_token_is_multiplied_by_the_experts_that_it_uses() -> None:
    one = Shapes(8, 16, 1, 2, 2, 4, 10)
    four = replace(one, experts=4, used=2)
    expert = 3 * 8 * 16
    assert four.linear == one.linear + 3 * expert + 4 * 8
    assert four.active == one.active + expert + 4 * 8


def test_a_config_without_sizes_is_refused_by_their_names() -> None:
    with pytest.raises(UserError, match="no num_hidden_layers, vocab_size"):
        shapes_of({"hidden_size": 8, "num_attention_heads": 2})
