"""Operations by formula are those that torch counts, and times follow from them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from peft import LoraConfig
from short_fits import objective
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.flops import count_flops
from unlearnkit.cost import Shapes, Training, shapes_of
from unlearnkit.cost.gpus import machine
from unlearnkit.cost.work import OF_BANDWIDTH, OF_PEAK, work_of
from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.module import UnlearningModule

LLAMA = Shapes(4096, 14336, 32, 32, 8, 128, 128256)
CONFIG = LlamaConfig(
    vocab_size=512, hidden_size=64, intermediate_size=192, num_hidden_layers=3,
    num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=False,
)  # fmt: skip


@pytest.mark.parametrize(
    ("options", "described"),
    [
        ({}, {"reference": "frozen"}),
        ({"gradient_checkpointing": True}, {"reference": "frozen", "every": 1}),
        (
            {"lora": LoraConfig(r=4, target_modules="all-linear")},
            {"rank": 4, "reference": "adapter_off"},
        ),
    ],
)
def test_operations_are_those_that_are_counted(options, described) -> None:
    losses = {"forget": objective("gradient_ascent"), "retain": objective("retain_kl")}
    module = UnlearningModule(losses, **options)
    torch.manual_seed(0)
    module.use_model(LlamaForCausalLM(CONFIG))
    module.policy.train()
    rows = {
        name: StreamBatch(
            tuple(Example((row, 5, 6), tuple(range(9)), row, name) for row in range(4)), 36.0, 4.0
        )
        for name in losses
    }
    batches = module.packer(rows)
    counted = count_flops(lambda: module.loss(batches).backward())
    # Forget and retain rows have the same prompts: 4 of 3 tokens, with 2 x 8 tokens of responses.
    tokens, responses = 4 * (3 + 16), 72
    run = Training(tokens=tokens, responses=responses, attention="loop", device="cpu", **described)
    work = work_of(shapes_of(CONFIG), run, parts=1, context=8)
    # The reference runs over the retain rows alone, 44 of the 76 tokens.
    share = 32 / tokens * 2 * tokens * shapes_of(CONFIG).active
    assert work.operations - share == pytest.approx(counted, rel=0.05)


def test_seconds_are_work_over_what_a_gpu_reaches() -> None:
    run = Training(weights="bfloat16", reference="cached")
    found = machine("h100")
    work = work_of(LLAMA, run, parts=1, context=100)
    seconds = work.seconds(run, found)
    assert seconds["products"] == work.operations / (OF_PEAK * 989.5e12)
    assert seconds["memory"] == work.moved / (OF_BANDWIDTH * 3350e9)
    assert seconds["links"] == 0
    # Six operations a weight and token, and a third of those of the head, which sees half of them.
    assert work.operations == pytest.approx(6 * 4096 * LLAMA.weights, rel=0.1)
    single = replace(run, weights="float32")
    assert single.products == 4
    slower = work_of(LLAMA, single, 1, 100).seconds(single, found)["products"]
    assert slower == pytest.approx(seconds["products"] * 989.5 / 67)


def test_what_is_sent() -> None:
    run, found = Training(weights="bfloat16", reference=None), machine("h100x8")
    ddp = work_of(LLAMA, replace(run, replicas=8), 3, 100)
    assert ddp.sent == 2 * 2 * LLAMA.weights * 7 / 8  # once a step, whatever its parts
    fsdp = work_of(LLAMA, replace(run, shards=8), 3, 100)
    # Weights twice in bfloat16, gradients once in float32.
    assert fsdp.sent == 3 * (2 * 2 + 4) * LLAMA.weights * 7 / 8
    mixed = Training(autocast="bfloat16", reference=None, shards=8)
    assert work_of(LLAMA, mixed, 3, 100).sent == fsdp.sent
    # Copies of eighths sum their own eighth of the gradients after each part.
    hsdp = work_of(LLAMA, replace(run, shards=8, replicas=2), 3, 100)
    assert hsdp.sent == fsdp.sent + 3 * 2 * 2 * LLAMA.weights / 8 * 1 / 2
    assert ddp.seconds(run, found)["links"] == ddp.sent / (OF_BANDWIDTH * 450e9)
