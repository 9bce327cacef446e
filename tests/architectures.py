"""Tiny random models of many architectures."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, models

VOCABULARY = 61
_COMMON = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_PLAIN_HEADS = {k: v for k, v in _COMMON.items() if k != "num_key_value_heads"}

CONFIGS = {
    "llama": lambda: models.llama.LlamaConfig(**_COMMON),
    "mistral": lambda: models.mistral.MistralConfig(**_COMMON, sliding_window=None),
    "mistral-window": lambda: models.mistral.MistralConfig(**_COMMON, sliding_window=4),
    "qwen2": lambda: models.qwen2.Qwen2Config(**_COMMON),
    "qwen3": lambda: models.qwen3.Qwen3Config(**_COMMON, head_dim=8),
    "phi3": lambda: models.phi3.Phi3Config(**_COMMON),
    "cohere": lambda: models.cohere.CohereConfig(**_COMMON, logit_scale=0.25),
    "granite": lambda: models.granite.GraniteConfig(**_COMMON, logits_scaling=3.0),
    "gemma2": lambda: models.gemma2.Gemma2Config(
        **_COMMON, head_dim=8, query_pre_attn_scalar=1, final_logit_softcapping=3.0,
        attn_logit_softcapping=2.0, sliding_window=4,
    ),
    "gemma3": lambda: models.gemma3.Gemma3TextConfig(
        **_COMMON, head_dim=8, final_logit_softcapping=3.0, sliding_window=4,
    ),
    "mixtral": lambda: models.mixtral.MixtralConfig(
        **_COMMON, num_local_experts=4, num_experts_per_tok=2
    ),
    "qwen3-moe": lambda: models.qwen3_moe.Qwen3MoeConfig(
        **_COMMON, head_dim=8, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=24
    ),
    "gpt-neox": lambda: models.gpt_neox.GPTNeoXConfig(**_PLAIN_HEADS),
    "gpt2": lambda: models.gpt2.GPT2Config(
        vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=4, n_positions=128, n_inner=48,
        bos_token_id=1, eos_token_id=2,
    ),
    "opt": lambda: models.opt.OPTConfig(
        vocab_size=VOCABULARY, hidden_size=32, ffn_dim=48, num_hidden_layers=2,
        num_attention_heads=4, max_position_embeddings=128, word_embed_proj_dim=32,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    ),
    "mamba": lambda: models.mamba.MambaConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, state_size=4,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    ),
}  # fmt: skip

PACKED = tuple(name for name in CONFIGS if name != "mamba")


def tiny_model(name: str, seed: int = 0) -> PreTrainedModel:
    """A model with weights large enough that its distributions are far from flat."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_config(CONFIGS[name]())
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
    return model.eval()
