"""A step of long rows, a large vocabulary and many experts, at next to no width."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from live import Live
from rounding import margin, near
from short_fits import objective
from transformers import AutoModelForCausalLM, models

from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.module import UnlearningModule

METHOD = {"forget": "npo", "retain": "retain_kl"}
ANSWER = 256
SIZES = {
    "vocab_size": 64, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
    "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 2**15,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
MANY = {"num_experts_per_tok": 4, "moe_intermediate_size": 8}
EXPERTS = {
    "mixtral": lambda: models.mixtral.MixtralConfig(
        **SIZES, num_local_experts=128, num_experts_per_tok=2
    ),
    "qwen3-moe": lambda: models.qwen3_moe.Qwen3MoeConfig(
        **SIZES, **MANY, head_dim=8, num_experts=128
    ),
    "deepseek-v3": lambda: models.deepseek_v3.DeepseekV3Config(
        **{**SIZES, "num_key_value_heads": 2}, **MANY, n_routed_experts=128, n_group=8,
        topk_group=4, first_k_dense_replace=0, q_lora_rank=8, kv_lora_rank=8,
        qk_rope_head_dim=4, qk_nope_head_dim=8, v_head_dim=8,
    ),
}  # fmt: skip


def _rows(vocabulary: int, prompt: int, answer: int) -> dict[str, StreamBatch]:
    """Of each stream one prompt with two answers, in ids from all over the vocabulary."""
    generator = torch.Generator().manual_seed(0)

    def ids(length: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, vocabulary, (length,), generator=generator).tolist())

    def stream(name: str) -> StreamBatch:
        asked = ids(prompt)
        rows = tuple(Example(asked, ids(answer), row, name) for row in range(2))
        return StreamBatch(rows, 2.0 * answer, 2.0)

    return {name: stream(name) for name in METHOD}


def _step(
    config: Any, rows: dict[str, StreamBatch], layout: Any = "packed"
) -> tuple[UnlearningModule, float, int]:
    """The module after a backward pass, its loss, and the most bytes of tensors meanwhile."""
    torch.manual_seed(0)
    module = UnlearningModule(
        {key: objective(name) for key, name in METHOD.items()}, layout=layout, reference="frozen"
    )
    module.use_model(AutoModelForCausalLM.from_config(config))
    assert module.layout == layout
    with torch.no_grad():  # away from the reference, where the gradient of the KL is zero
        for weight in module.policy.parameters():
            weight.add_(0.05 * torch.randn(weight.shape))
    module.policy.train()
    batches = module.packer(rows)
    with Live([*module.parameters(), *module.buffers()]) as live:
        loss = module.loss(batches)
        loss.backward()
    assert loss.isfinite()
    return module, loss.item(), live.peak


def _trained(module: UnlearningModule, name: str) -> torch.Tensor:
    (found,) = (p.grad for key, p in module.policy.named_parameters() if key.endswith(name))
    assert found is not None
    assert found.isfinite().all()
    return found


@pytest.mark.parametrize("tokens", [2**13, pytest.param(2**15, marks=pytest.mark.slow)])
def test_a_step_of_long_rows_holds_memory_in_proportion_to_their_tokens(tokens) -> None:
    """A prompt that two answers share is attended to without a mask of all its pairs."""
    rows = _rows(SIZES["vocab_size"], tokens - ANSWER, ANSWER)
    module, _, peak = _step(models.llama.LlamaConfig(**SIZES), rows)
    # 6500 bytes a token at both lengths; the mask of a prompt would be 32768 more at the longer.
    assert peak < 7000 * tokens
    assert _trained(module, "q_proj.weight").abs().sum() > 0


def test_long_rows_that_are_packed_have_the_loss_of_the_same_rows_side_by_side() -> None:
    rows, config = _rows(SIZES["vocab_size"], 4096, ANSWER), models.llama.LlamaConfig(**SIZES)
    (packed, found, _), (side, expected, _) = (
        _step(config, rows, layout) for layout in ("packed", "rows")
    )
    assert found == near(expected, size=5.0)
    one, other = (_trained(each, "q_proj.weight") for each in (packed, side))
    assert torch.allclose(one, other, rtol=0, atol=margin(float(other.abs().max()), terms=256))


@pytest.mark.parametrize("tied", [False, True])
def test_a_step_with_a_vocabulary_of_262144(tied) -> None:
    sizes = {**SIZES, "vocab_size": 2**18, "tie_word_embeddings": tied}
    rows = _rows(2**18, 8, 24)
    module, found, _ = _step(models.llama.LlamaConfig(**sizes), rows)
    _, expected, _ = _step(models.llama.LlamaConfig(**sizes), rows, "rows")
    assert found == near(expected, size=13.0)
    embedded = _trained(module, "embed_tokens.weight").abs().sum(1) > 0
    used = {i for each in rows.values() for e in each.examples for i in e.prompt_ids}
    assert max(used) > 2**17
    assert all(embedded[i] for i in used)
    if not tied:  # the KL reaches the rows of all tokens, asked for or not
        assert (_trained(module, "lm_head.weight").abs().sum(1) > 0).all()


@pytest.mark.parametrize("family", EXPERTS)
def test_a_step_of_128_experts(family) -> None:
    rows = _rows(SIZES["vocab_size"], 24, 40)
    module, found, _ = _step(EXPERTS[family](), rows)
    _, expected, _ = _step(EXPERTS[family](), rows, "rows")
    assert found == near(expected, size=5.0)
    experts = _trained(module, "experts.down_proj")
    assert len(experts) == 128
    assert (experts.flatten(1).abs().sum(1) > 0).sum() > 40
