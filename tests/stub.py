"""A tiny Llama whose next-token distribution is the same everywhere, and known.

Every probability is a power of two, so the negative log-likelihood of a text is a whole number of
bits that can be added up by hand: ``a`` costs 2 bits, ``b``, ``c`` and EOS 3, all else 4.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

BITS = {
    "<pad>": 4,
    "<unk>": 4,
    "<bos>": 4,
    "<eos>": 3,
    "a": 2,
    "b": 3,
    "c": 3,
    "d": 4,
    "e": 4,
    " ": 4,
}
NATS_PER_BIT = math.log(2)


def stub_tokenizer(spec: dict[str, Any] | None = None) -> PreTrainedTokenizerFast:
    """One token per letter; ``spec`` names special tokens, a chat template and the like."""
    spec = spec or {}
    ids = {token: index for index, token in enumerate(spec.get("bits", BITS))}
    special = {role: spec.get(role, f"<{role}>") for role in ("pad", "bos", "eos", "unk")}
    letters = Tokenizer(models.WordLevel(ids, unk_token=special["unk"]))
    letters.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    letters.decoder = decoders.Fuse()
    if spec.get("add_bos"):
        bos = special["bos"]
        letters.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, ids[bos])]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=letters,
        padding_side=spec.get("padding_side", "right"),
        model_max_length=spec.get("model_max_length", 512),
        **{f"{role}_token": token for role, token in special.items() if token is not None},
    )
    tokenizer.chat_template = spec.get("chat_template")
    return tokenizer


def stub_model(spec: dict[str, Any] | None = None) -> LlamaForCausalLM:
    """The model that goes with `stub_tokenizer`; ``random_init`` gives it ordinary weights."""
    spec = spec or {}
    bits = spec.get("bits", BITS)
    assert sum(2.0**-cost for cost in bits.values()) == 1.0
    ids = {token: index for index, token in enumerate(bits)}
    config = LlamaConfig(
        vocab_size=len(bits),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=spec.get("layers", 2),
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        attention_dropout=spec.get("dropout", 0.0),
        tie_word_embeddings=spec.get("tie", False),
        pad_token_id=ids.get(spec.get("pad", "<pad>")),
        bos_token_id=ids.get(spec.get("bos", "<bos>")),
        eos_token_id=ids.get(spec.get("eos", "<eos>")),
    )
    torch.manual_seed(spec.get("random_init", 0))
    model = LlamaForCausalLM(config).eval()
    if "random_init" not in spec:
        _make_constant(model, bits)
    return model


@torch.no_grad()
def _make_constant(model: LlamaForCausalLM, bits: dict[str, int]) -> None:
    """Every hidden state becomes the vector of ones; the head turns it into the distribution."""
    model.model.embed_tokens.weight.fill_(1.0)
    model.model.norm.weight.fill_(1.0)
    for layer in model.model.layers:
        layer.self_attn.o_proj.weight.zero_()
        layer.mlp.down_proj.weight.zero_()
    logps = torch.tensor([-cost * NATS_PER_BIT for cost in bits.values()])
    width = model.config.hidden_size
    model.lm_head.weight.copy_(logps[:, None].expand(-1, width) / width)


@torch.no_grad()
def set_logits(model: LlamaForCausalLM, logits: torch.Tensor) -> None:
    """Gives a constant stub other logits, the same everywhere: ``[vocabulary]``.

    They are sums of 16 equal numbers, exact in any order and on any processor.
    """
    width = model.config.hidden_size
    model.lm_head.weight.copy_(logits[:, None].expand(-1, width) / width)


def save_stub(spec: dict[str, Any] | None, folder: Path) -> Path:
    """Writes model and tokenizer as an ordinary Hugging Face folder."""
    stub_model(spec).save_pretrained(folder)
    stub_tokenizer(spec).save_pretrained(folder)
    return folder


@torch.no_grad()
def response_bits(model: Any, prompt_ids: tuple[int, ...], response_ids: tuple[int, ...]) -> Any:
    """Bits of each response token, by an ordinary forward pass of one sequence: ``[tokens]``."""
    ids = torch.tensor([[*prompt_ids, *response_ids]])
    logps = model(input_ids=ids).logits[0].float().log_softmax(-1)
    places = torch.arange(len(prompt_ids), ids.shape[1])
    return -logps[places - 1, ids[0, places]] / NATS_PER_BIT


def save_gpt2(folder: Path) -> str:
    """A base whose positions are embedded, so that those of padded rows have to be told."""
    torch.manual_seed(0)
    tokenizer = stub_tokenizer()
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=16, n_layer=2, n_head=2, n_positions=32,
        initializer_range=0.5, bos_token_id=None, eos_token_id=3, pad_token_id=0,
    )  # fmt: skip
    GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
