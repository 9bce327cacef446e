"""Tiny models of all causal language model families of transformers, made from their configs.

The fields of a family's default config are made small by their names; what that cannot know is in
`OVERRIDES`.
"""

from __future__ import annotations

from typing import Any

import torch
from architectures import VOCABULARY
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

FAMILIES = tuple(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
WINDOW = 4

_SIZES = {
    1: """n_shared_experts num_shared_experts moe_num_shared_experts n_group topk_group n_groups
        mamba_n_groups mamba_ngroups num_expert_group first_k_dense_replace num_dense_layers""",
    2: """num_key_value_heads num_kv_heads swa_num_key_value_heads num_experts_per_tok moe_k
        num_experts_per_token moe_topk linear_num_key_heads""",
    4: """num_attention_heads n_head n_heads num_heads attention_heads decoder_attention_heads
        encoder_attention_heads num_encoder_attention_heads num_decoder_attention_heads
        swa_num_attention_heads num_experts n_routed_experts num_local_experts moe_num_experts
        zero_expert_num index_n_heads linear_num_value_heads linear_num_heads mamba_n_heads
        mamba_num_heads n_mamba_heads num_query_groups rotary_dim depth n_window""",
    8: """head_dim swa_head_dim v_head_dim qk_rope_head_dim qk_nope_head_dim kv_channels d_head
        attention_head_size attention_head_dim dim_head index_head_dim linear_key_head_dim
        linear_value_head_dim linear_head_dim mamba_d_head mamba_head_dim mamba_headdim
        mamba_d_state state_size ssm_state_size hidden_size_per_layer_input""",
    16: """kv_lora_rank q_lora_rank o_lora_rank qk_head_dim laurel_rank router_hidden_size
        time_step_rank mamba_dt_rank gated_norm_rank adapter_rank chunk_size mamba_chunk_size
        loop_gate_rank""",
    32: """hidden_size d_model n_embd dim embedding_size word_embed_proj_dim embedding_dim lru_width
        input_embedding_size output_embedding_size attention_hidden_size""",
    48: """intermediate_size ffn_dim ffn_hidden_size d_ff dff dim_ff n_inner d_inner emb_dim
        feed_forward_size decoder_ffn_dim encoder_ffn_dim moe_intermediate_size
        expert_ffn_hidden_size shared_expert_intermediate_size shared_experts_intermediate_size
        shared_intermediate_size moe_shared_expert_intermediate_size dense_intermediate_size
        intermediate_size_mlp""",
    64: "mamba_d_ssm",
    128: """max_position_embeddings n_positions n_ctx max_seq_len context_length model_max_length
        max_target_positions""",
}
_SIZE_OF = {name: size for size, names in _SIZES.items() for name in names.split()}
_WINDOWS = {"sliding_window", "sliding_window_size", "window_size", "local_attention"}
_BLOCKS = {
    "num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers",
    "num_blocks", "num_decoder_layers", "num_encoder_layers",
}  # fmt: skip
_KINDS = ("layer_types", "layers_block_type", "block_types")
_STATE_SPACE = {"mamba_n_heads": 8, "mamba_d_head": 8}

OVERRIDES: dict[str, dict[str, Any]] = {
    "bamba": _STATE_SPACE,
    "blt": {"encoder_hash_byte_group_vocab": 64},
    "codegen": {"n_embd": 64},
    "deepseek_v2": {"num_experts_per_tok": 2, "topk_method": "greedy"},
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "dory": {
        "num_hidden_layers": 6, "n_input_layers": 2, "n_recurrent_layers": 2, "n_output_layers": 2,
        "layer_types": ["sliding_attention", "full_attention"] * 3,
    },
    "falcon_h1": _STATE_SPACE,
    "gemma3n_text": {
        "num_hidden_layers": 4, "num_kv_shared_layers": 2, "activation_sparsity_pattern": [0.0] * 4,
        "layer_types": ["sliding_attention", "full_attention"] * 2, "intermediate_size": [48] * 4,
    },
    "granitemoehybrid": _STATE_SPACE,
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8},
    "minimax_m3_vl_text": {"layer_types": ["minimax_m3_sparse", "full_attention"]},
    "nemotron": {"num_key_value_heads": 2},
    "reformer": {"axial_pos_shape": [8, 16], "axial_pos_embds_dim": [16, 16]},
    "xlm": {"causal": True},
    "xmod": {"default_language": "en_XX"},
    "zamba2": {"mamba_headdim": 16},
    "zaya": {"num_experts_per_tok": 1},
}  # fmt: skip


def tiny_config(family: str, windows: bool = False) -> PreTrainedConfig:
    """The family's default config, made small.

    Args:
        family: A key of `FAMILIES`.
        windows: Give it a sliding window, and blocks with and without, where it has a field for
            one and none by default.
    """
    cls = CONFIG_MAPPING[family]
    return cls(**{**_small(cls, windows), **OVERRIDES.get(family, {})})


def takes_windows(family: str) -> bool:
    """Whether `tiny_config` gives the family another config with windows."""
    return tiny_config(family).to_dict() != tiny_config(family, windows=True).to_dict()


def tiny_family(family: str, windows: bool = False) -> PreTrainedModel:
    """A random model in which nothing is a no-op: neither biases nor norms are 0 or 1."""
    config = tiny_config(family, windows)
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(4)
            else:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    return model.eval()


def _small(cls: type[PreTrainedConfig], windows: bool) -> dict[str, Any]:
    plain = cls()
    read = plain.to_dict()
    whole = next((read[name] for name in _BLOCKS if isinstance(read.get(name), int)), None)
    blocks = _kept_blocks(read)
    latent = "kv_lora_rank" in read
    found: dict[str, Any] = {}
    for name, value in read.items():
        if name in plain.sub_configs:
            found[name] = None if value is None else _small(type(getattr(plain, name)), windows)
        elif name.endswith(("_token_id", "_token_index")) and value is not None:
            found[name] = [2] if isinstance(value, list) else 2
        elif name == "is_decoder":
            found[name] = True
        elif name == "use_sliding_window":
            found[name] = windows or value
        elif name in _WINDOWS and (value or windows):
            found[name] = WINDOW
        elif name == "num_key_value_heads" and latent:
            found[name] = 4
        elif name == "head_dim" and value is None and not latent:
            found[name] = 8
        elif name in _BLOCKS:
            found[name] = len(blocks)
        elif name.endswith("vocab_size") and name != "type_vocab_size":
            found[name] = VOCABULARY
        elif name in _SIZE_OF and isinstance(value, int) and not isinstance(value, bool):
            found[name] = _SIZE_OF[name]
        elif name == "layer_types" and windows and set(value or ()) == {"full_attention"}:
            found[name] = ["sliding_attention", "full_attention"]
        elif isinstance(value, list) and len(value) == whole:
            found[name] = [value[block] for block in blocks]
    return {**found, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def _kept_blocks(read: dict[str, Any]) -> list[int]:
    """The first block of each kind, or two where there is one kind."""
    kinds = next((read[name] for name in _KINDS if isinstance(read.get(name), list)), [])
    more = read.get("mlp_layer_types") or [None] * len(kinds)
    first: dict[Any, int] = {}
    for block, kind in enumerate(zip(kinds, more, strict=False)):
        first.setdefault(kind, block)
    found = sorted(first.values())
    return found if len(found) > 1 else [0, 1]
