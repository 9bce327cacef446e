"""Models and data of the step benchmark."""

from __future__ import annotations

from typing import NamedTuple

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch

BATCH, RANDOM_ANSWERS = 4, 5


class Shape(NamedTuple):
    """Sizes of a random Llama."""

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    vocabulary: int


SHAPES = {
    "S": Shape(384, 6, 6, 6, 32000),
    "R": Shape(384, 12, 6, 2, 4096),  # resembles a 7B model: its head is 7 % of it
    "V": Shape(256, 4, 4, 4, 128256),
}


def random_llama(name: str, seed: int = 0) -> LlamaForCausalLM:
    """A float32 model of that shape with an untied head."""
    shape = SHAPES[name]
    torch.manual_seed(seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=4 * shape.hidden,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            max_position_embeddings=512,
            tie_word_embeddings=False,
        )
    )


def draw(
    vocabulary: int,
    seed: int,
    batch: int = BATCH,
    prompts: tuple[int, int] = (64, 128),
    responses: tuple[int, int] = (32, 96),
) -> dict[str, StreamBatch]:
    """A step of three streams, with so many tokens at least and at most."""
    generator = torch.Generator().manual_seed(seed)

    def ids(low: int, high: int) -> tuple[int, ...]:
        length = int(torch.randint(low, high + 1, (1,), generator=generator))
        return tuple(torch.randint(vocabulary, (length,), generator=generator).tolist())

    forget = [Example(ids(*prompts), ids(*responses), row, "forget") for row in range(batch)]
    mismatch = [
        Example(e.prompt_ids, ids(*responses), e.row, "mismatch")
        for e in forget
        for _ in range(RANDOM_ANSWERS)
    ]
    retain = [Example(ids(*prompts), ids(*responses), row, "retain") for row in range(batch)]
    streams = {"forget": forget, "mismatch": mismatch, "retain": retain}
    return {name: rows_of(examples) for name, examples in streams.items()}


def bound(model: LlamaForCausalLM, streams: dict[str, StreamBatch], live: bool) -> int:
    """The operations that no exact step can do without: linear layers, each prompt once.

    ``6·N_body·T + 6·N_head·T_response``, and with a live reference its forward pass on the retain
    stream. A response's last token is no input, so it is not in ``T``.
    """
    head = model.lm_head.weight.numel()
    body = sum(
        m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Linear)
    ) - head  # fmt: skip
    needed = 6 * body * inputs(streams) + 6 * head * _responses(streams)
    if live and "retain" in streams:
        retain = {"retain": streams["retain"]}
        needed += 2 * body * inputs(retain) + 2 * head * _responses(retain)
    return needed


def inputs(streams: dict[str, StreamBatch]) -> int:
    """Input tokens of a packed step: each prompt once, and responses but for their last token."""
    examples = [e for batch in streams.values() for e in batch.examples]
    prompts = {e.prompt_ids for e in examples}
    return sum(map(len, prompts)) + sum(len(e.response_ids) - 1 for e in examples)


def _responses(streams: dict[str, StreamBatch]) -> int:
    return sum(len(e.response_ids) for batch in streams.values() for e in batch.examples)


def rows_of(examples: list[Example]) -> StreamBatch:
    """Rows of a stream, with the shares of one process."""
    return StreamBatch(tuple(examples), sum(len(e.response_ids) for e in examples), len(examples))
