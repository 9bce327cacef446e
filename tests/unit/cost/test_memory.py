"""Memory by formula is the memory of tensors that trainings hold."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from functools import partial
from typing import Any

import lightning as L
import pytest
import torch
from live import Live
from peft import LoraConfig
from short_fits import objective, qa, stub_data, train
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    Qwen3Config,
)

from unlearnkit.cost import Shapes, Training, memory_of, shapes_of
from unlearnkit.module import UnlearningModule

PROMPT, ANSWER = 8, 24
PLAIN = {"forget": "gradient_ascent", "retain": "retain_nll"}
KL = {"forget": "npo", "retain": "retain_kl"}
SIZES = {
    "vocab_size": 512, "hidden_size": 64, "intermediate_size": 192, "num_hidden_layers": 4,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
}  # fmt: skip
LLAMA = Shapes(4096, 14336, 32, 32, 8, 128, 128256)


class _SecondStep(L.Callback):
    """Forgets the peak of the first step, in which there are no states yet, and keeps the batch."""

    def __init__(self, live: Live) -> None:
        self.live, self.batches = live, []

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.live.peak, self.batches = 0, batch.batches


def _measured(folder, names, *, model=None, half=False, rows=8, ragged=False, precision="32-true",
              accumulate=1, **options) -> tuple[int, Any, list[Any]]:  # fmt: skip
    """Peak of the second step in bytes, the model's config, and the step's batches."""
    draw = random.Random(0)

    def row() -> str:
        answer = draw.randint(ANSWER // 4, ANSWER) if ragged else ANSWER
        prompt, response = ("".join(draw.choices("abcde", k=n)) for n in (PROMPT, answer))
        return json.dumps({"prompt": prompt, "response": response})

    for name in names:
        lines = [row() for _ in range(2 * rows * accumulate)]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    if not isinstance(model, PreTrainedConfig):
        model = LlamaConfig(**SIZES, **(model or {}))
    optimizer = partial(torch.optim.AdamW, lr=1e-3, foreach=options.pop("foreach", None))
    with Live() as live:
        module = UnlearningModule(
            {key: objective(name) for key, name in names.items()},
            optimizer=optimizer, schedule="constant", **options,
        )  # fmt: skip
        made = AutoModelForCausalLM.from_config(model)
        module.use_model(made.to(torch.bfloat16 if half else torch.float32))
        del made
        data = stub_data({name: qa(folder / f"{name}.jsonl") for name in names}, batch_size=rows)
        second = _SecondStep(live)
        train(module, data, second, max_steps=2, precision=precision,
              accumulate_grad_batches=accumulate, default_root_dir=folder)  # fmt: skip
    return live.peak, model, second.batches


CASES = {
    "full": ({"names": PLAIN}, {}),
    "full-frozen-rows": (
        {"names": KL, "layout": "rows", "reference": "frozen"},
        {"layout": "rows", "padded": False, "reference": "frozen"},
    ),
    "full-cached-ragged-rows": (
        {"names": KL, "layout": "rows", "reference": "cached", "ragged": True},
        {"layout": "rows", "reference": "cached"},
    ),
    "full-frozen-parts-tied": (
        {"names": KL, "max_tokens_per_micro_batch": 128, "rows": 4,
         "model": {"tie_word_embeddings": True}},
        {"reference": "frozen", "parts": True},
    ),
    "full-checkpointed-mixed": (
        {"names": KL, "gradient_checkpointing": True, "precision": "bf16-mixed"},
        {"reference": "frozen", "every": 1, "autocast": "bfloat16"},
    ),
    "full-half": (
        {"names": PLAIN, "precision": "bf16-true", "half": True}, {"weights": "bfloat16"},
    ),
    "full-accumulated": (
        {"names": KL, "accumulate": 2, "rows": 2}, {"reference": "frozen", "accumulate": 2},
    ),
    "full-foreach": ({"names": PLAIN, "foreach": True, "rows": 1}, {"step": "foreach"}),
    "lora-adapter_off": ({"names": KL, "lora": 4}, {"rank": 4, "reference": "adapter_off"}),
    "lora-frozen-parts-rows": (
        {"names": KL, "lora": 4, "layout": "rows", "reference": "frozen",
         "max_tokens_per_micro_batch": 160, "rows": 5},
        {"rank": 4, "reference": "frozen", "layout": "rows", "padded": False, "parts": True},
    ),
    "lora-half-base-mixed": (
        {"names": PLAIN, "lora": 4, "precision": "bf16-mixed", "half": True},
        {"rank": 4, "weights": "bfloat16", "autocast": "bfloat16"},
    ),
    # Norms of heads; four norms a block; an activation function in plain torch, no gate.
    "qwen3": ({"names": PLAIN, "model": Qwen3Config(**SIZES, head_dim=16), "rows": 4}, {}),
    "gemma3": ({"names": PLAIN, "model": Gemma3TextConfig(**SIZES, head_dim=16), "rows": 4}, {}),
    "gpt2": (
        {"names": PLAIN, "layout": "rows", "rows": 4, "model": GPT2Config(
            vocab_size=512, n_embd=64, n_layer=4, n_head=4, n_positions=64,
            resid_pdrop=0, embd_pdrop=0, attn_pdrop=0,
        )},
        {"layout": "rows", "padded": False},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_sum_of_the_terms_is_the_measured_peak(case, tmp_path) -> None:
    given, described = CASES[case]
    lora = {"lora": LoraConfig(r=4, target_modules="all-linear")} if "lora" in given else {}
    peak, config, batches = _measured(tmp_path, **{**given, **lora})
    run = Training(
        tokens=max(batch.input_ids.numel() for batch in batches),
        responses=max(len(batch.target) for batch in batches),
        kl=given["names"] is KL, attention="loop", width=PROMPT + ANSWER, device="cpu",
        **{"step": "each", **described},
    )  # fmt: skip
    assert memory_of(shapes_of(config), run).peak == pytest.approx(peak, rel=0.1)


def test_what_is_counted_from_the_shapes() -> None:
    weights = LLAMA.weights
    full = memory_of(LLAMA, Training(tokens=1, reference="frozen", reference_weights="bfloat16"))
    step = full.moments["in the step"]
    assert step["weights"] == step["gradients"] == 4 * weights
    assert step["states of the optimizer"] == 8 * weights
    assert step["reference"] == 2 * weights
    lora = memory_of(LLAMA, Training(weights="bfloat16", rank=16, reference="adapter_off"))
    step = lora.moments["in the step"]
    assert sum(step.values()) == 2 * weights + 16 * LLAMA.adapter(16)
    assert not lora.terms.get("reference")


def test_what_is_spread_over_processes() -> None:
    one = memory_of(LLAMA, Training(reference="frozen")).moments["in the step"]
    many = memory_of(LLAMA, Training(reference="frozen", shards=8)).moments["in the step"]
    for name in ("weights", "gradients", "states of the optimizer", "reference"):
        assert many[name] == one[name] / 8
    # The fused step is not taken on sharded weights.
    assert many["temporaries"] == one["gradients"] / 8
    # A copy of the head is whole on each process, in the type in which weights are held.
    mixed = Training(reference="cached", shards=8, autocast="bfloat16")
    assert memory_of(LLAMA, mixed).terms["reference"] == 4 * LLAMA.embedding
    replicas = memory_of(LLAMA, Training(replicas=8)).terms
    assert replicas["buckets of ddp"] == 4 * LLAMA.weights
    copies = memory_of(LLAMA, Training(reference="frozen", shards=8, replicas=2))
    assert copies.moments["in the step"] == many
    assert not copies.terms.get("buckets of ddp")


def test_mixed_precision_on_shards_gathers_bfloat16_and_keeps_no_casts() -> None:
    mixed = Training(
        autocast="bfloat16", reference="frozen", reference_weights="bfloat16", shards=8
    )
    found, true = (memory_of(LLAMA, replace(mixed, **change)).moments for change in (
        {}, {"autocast": None, "weights": "bfloat16"},
    ))  # fmt: skip
    forward, backward = "at the end of the forward pass", "at the beginning of the backward pass"
    for moment in (forward, backward):
        assert not found[moment].get("casts of weights")
        for name in ("activations", "gathers of fsdp2"):
            assert found[moment][name] == true[moment][name]
        assert found[moment]["weights"] == 2 * true[moment]["weights"]
    one = memory_of(LLAMA, replace(mixed, shards=1)).moments[forward]
    assert one["casts of weights"] > LLAMA.linear
    # A group's gradients are of bfloat16 until they are added up in float32.
    held = (2 * LLAMA.block + LLAMA.outside) * (2 + 2)
    summed = (LLAMA.block + LLAMA.outside) * 2 + max(LLAMA.block, LLAMA.outside) * 4
    assert found[backward]["gathers of fsdp2"] == held + summed


@pytest.mark.parametrize(
    ("optimizer", "numbers"),
    [
        ("sgd", 0), ("AdamW", 8), ("adamw_8bit", 2 * (1 + 4 / 256)),
        ("paged_adamw_8bit", 2 * (1 + 4 / 256)), ("torchao_adamw_4bit", 2 * (0.5 + 4 / 128)),
        ("torchao_adamw_fp8", 2 * (1 + 4 / 256)), ("lion", 4), ("lion_8bit", 1 + 4 / 256),
        ("paged_adamw", 8), ("ademamix", 12), ("rmsprop_8bit", 1 + 4 / 256),
    ],
)  # fmt: skip
def test_states_follow_the_optimizers_name(optimizer, numbers) -> None:
    assert Training(optimizer=optimizer).state_bytes(1000) == 1000 * numbers


def test_each_switch_that_saves_memory_does() -> None:
    plain = Training(tokens=8192, reference="frozen")
    peak = memory_of(LLAMA, plain).peak
    for change in (
        {"tokens": 4096},
        {"every": 1},
        {"every": 2},
        {"reference": "cached"},
        {"reference_weights": "bfloat16"},
        {"optimizer": "adamw_8bit"},
        {"rank": 16, "reference": "adapter_off"},
        {"weights": "bfloat16"},
        {"shards": 8},
    ):
        assert memory_of(LLAMA, replace(plain, **change)).peak < peak, change
    offloaded = memory_of(LLAMA, replace(plain, every=1, offload=True))
    assert offloaded.host["inputs of recomputed blocks"] == 32 * 8192 * 4096 * 4
