"""The memory tables are those of the formula, and the formula counts weights right."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks import memory


def _on_no_device(shape: memory.Shape) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.hidden, intermediate_size=shape.inner,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads, head_dim=shape.head_dim,
        tie_word_embeddings=shape.tied,
    )  # fmt: skip
    with torch.device("meta"):
        return LlamaForCausalLM(config)


def test_the_tables_are_up_to_date() -> None:
    page = memory.PAGE.read_text(encoding="utf-8")
    assert page.count("<!-- generated:") == 2
    assert memory.generated(page) == page, "run: python -m benchmarks.memory"


@pytest.mark.parametrize("shape", memory.MODELS, ids=lambda shape: shape.name)
def test_weights_are_counted_as_the_model_has_them(shape) -> None:
    shape = replace(shape, layers=2)
    model = _on_no_device(shape)
    assert shape.weights == sum(p.numel() for p in model.parameters())
    adapted = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear"))
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert shape.adapter(16) == trained


def test_what_training_holds_beside_activations() -> None:
    shape = memory.MODELS[0]
    weights = shape.weights
    assert memory.states(shape, memory.Setting("float32")) == 16 * weights
    assert memory.states(shape, memory.Setting("float32", frozen="bfloat16")) == 18 * weights
    assert memory.states(shape, memory.Setting("bfloat16", shards=8)) == weights
    lora = memory.states(shape, memory.Setting("bfloat16", rank=16))
    assert lora == 2 * weights + 16 * shape.adapter(16)


def test_the_estimate_of_activations_is_near_what_autograd_keeps() -> None:
    """Bytes that a block of a real model saves for its backward pass, by hooks."""
    shape = memory.Shape("small", 128, 448, 2, 4, 1, 32, 64, False)
    saved: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        saved[storage.data_ptr()] = storage.nbytes()
        kept.append(tensor)
        return tensor

    config = LlamaConfig(
        vocab_size=64, hidden_size=128, intermediate_size=448, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=1, head_dim=32, attn_implementation="sdpa",
    )  # fmt: skip
    model = LlamaForCausalLM(config).to(torch.bfloat16)
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    tokens = 256
    kept: list[torch.Tensor] = []
    states = torch.randn(1, tokens, 128, dtype=torch.bfloat16, requires_grad=True)
    places = torch.arange(tokens)[None]
    rotations = model.model.rotary_emb(states, places)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.model.layers[0](states, position_embeddings=rotations, attention_mask=None)
    found = sum(size for pointer, size in saved.items() if pointer not in weights)
    plain = memory.Setting("bfloat16", checkpointing=False)
    estimate = (memory.activations(shape, plain, tokens) - 3 * memory.CHUNK) / shape.layers
    assert 0.7 * found < estimate < 1.5 * found
