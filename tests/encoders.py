"""Small encoders with random weights, of several architectures."""

from __future__ import annotations

from pathlib import Path

import torch
from stub import stub_tokenizer
from transformers import (
    BertConfig,
    BertForTokenClassification,
    DistilBertConfig,
    DistilBertForMaskedLM,
    LlamaConfig,
    LlamaForCausalLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

SHAPE = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 64,
}  # fmt: skip
KINDS = {
    "roberta": (RobertaConfig, RobertaForMaskedLM, SHAPE),
    "distilbert": (
        DistilBertConfig,
        DistilBertForMaskedLM,
        {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32},
    ),
    "llama": (LlamaConfig, LlamaForCausalLM, SHAPE),
}


def save_encoder(kind: str, folder: Path) -> str:
    """Writes one; its tokenizer has a token a letter."""
    config, model, shape = KINDS[kind]
    tokenizer = stub_tokenizer()
    torch.manual_seed(0)
    made = config(vocab_size=len(tokenizer), pad_token_id=0, **shape)
    model(made).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def save_namer(folder: Path, labels: tuple[str, ...] = ("O", "B-PER")) -> str:
    """Writes a token classifier that gives the second label to every letter ``a`` alone."""
    tokenizer = stub_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer),
        id2label=dict(enumerate(labels)),
        label2id={name: number for number, name in enumerate(labels)},
        **{**SHAPE, "num_hidden_layers": 0},
    )
    model = BertForTokenClassification(config)
    with torch.no_grad():
        for each in (model.bert.embeddings.position_embeddings, model.classifier):
            each.weight.zero_()
        model.bert.embeddings.token_type_embeddings.weight.zero_()
        model.bert.embeddings.word_embeddings.weight.zero_()
        model.bert.embeddings.word_embeddings.weight[tokenizer.convert_tokens_to_ids("a"), 0] = 1.0
        model.classifier.weight[1, 0] = 1.0
        model.classifier.bias.copy_(torch.tensor([0.5, 0.0]))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)
