"""A recipe's run is described by its rows and its model's config."""

from __future__ import annotations

import json
from functools import partial

import lightning as L
import pytest
import torch
from live import Live
from peft import LoraConfig
from short_fits import objective, qa, stub_data
from stub import save_stub, stub_model, stub_tokenizer
from transformers import AutoModelForCausalLM, LlamaConfig

from unlearnkit import UnlearningDataModule, UnlearningModule
from unlearnkit.cost.gpus import machine
from unlearnkit.engine.step.checkpointing import Checkpointing
from unlearnkit.engine.training.fsdp2 import FSDP2Strategy
from unlearnkit.models.base import BaseModel
from unlearnkit.runs.planning.described import Described, describe, memory_here

KL = {"forget": "npo", "retain": "retain_kl"}
H100 = machine("h100x2")


@pytest.fixture
def config_alone(tmp_path):
    """A folder with a config and a tokenizer, and no weights."""
    folder = tmp_path / "config"
    stub_model().config.save_pretrained(folder)
    stub_tokenizer().save_pretrained(folder)
    return folder


def _described(
    written, base, names=KL, rows=2, trainer=None, precision="32-true", of=None, **options
):
    folder = written(forget="a:cd b:eee c:d", retain="a:ab b:b c:abcd d:a")
    module = UnlearningModule({k: objective(v) for k, v in names.items()}, base=base, **options)
    data = stub_data({name: qa(folder / f"{name}.jsonl") for name in names}, batch_size=rows)
    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False,
        precision=precision, **{"devices": 1, "max_epochs": 2, **(trainer or {})},
    )  # fmt: skip
    return describe(module, data, trainer, H100) if of is None else of(module, data, trainer)


def test_rows_are_packed_as_a_step_packs_them(written, config_alone) -> None:
    names = {"forget": "gradient_ascent"}
    found = _described(written, str(config_alone), names, rows=3)
    # One batch of three rows, whose prompts are one token and whose last tokens are no inputs:
    # a c d | b e e e | c d and ends of text as targets.
    assert found.run.tokens == (1 + 2) + (1 + 3) + (1 + 1)
    assert found.run.responses == 3 + 4 + 2
    assert found.parts == 1
    assert found.steps == 2
    # In each row of n tokens they attend to 1, 2, ... n.
    assert found.context == (6 + 10 + 3) / 9
    assert found.shapes.weights == stub_model().num_parameters()
    assert not found.run.reference


def test_parts_and_accumulation_are_counted(written, config_alone) -> None:
    names = {"forget": "gradient_ascent"}
    options = {"max_tokens_per_micro_batch": 4, "trainer": {"accumulate_grad_batches": 2}}
    found = _described(written, str(config_alone), names, rows=3, **options)
    assert found.run.parts
    assert found.run.tokens <= 4 + 1
    assert found.parts == 2 * 3
    assert found.run.accumulate == 2


CASES = {
    "full": ({}, {"weights": "float32", "reference": "frozen", "kl": True, "step": "fused"}),
    "mixed": ({"precision": "bf16-mixed"}, {"weights": "float32", "autocast": "bfloat16"}),
    "half": ({"precision": "bf16-true"}, {"weights": "bfloat16", "autocast": None}),
    "lora": (
        {"lora": LoraConfig(r=2, target_modules=["q_proj"])},
        {"rank": 2, "adapter": 2 * 2 * 32, "reference": "adapter_off"},
    ),
    "trainable": ({"trainable": ["mlp.up_proj"]}, {"trained": 2 * 16 * 32}),
    "cached": ({"reference": "cached"}, {"reference": "cached"}),
    "checkpointed": (
        {"gradient_checkpointing": Checkpointing(2, offload=True)}, {"every": 2, "offload": True},
    ),
    "sgd": ({"optimizer": partial(torch.optim.SGD, lr=1.0)}, {"states": 0, "step": "foreach"}),
    "momentum": (
        {"optimizer": partial(torch.optim.SGD, lr=1.0, momentum=0.5)},
        {"states": 1, "optimizer": "sgd"},
    ),
    "adamw": (
        {"optimizer": partial(torch.optim.AdamW, foreach=True)}, {"states": 2, "step": "foreach"},
    ),
    "ddp": ({"trainer": {"devices": 2, "strategy": "ddp"}}, {"replicas": 2, "shards": 1}),
    "fsdp2": ({"trainer": {"devices": 2, "strategy": "fsdp2"}}, {"replicas": 1, "shards": 2}),
    "hsdp": (
        {"trainer": {"devices": 4, "strategy": FSDP2Strategy(shard=2, replicate=2)}},
        {"replicas": 2, "shards": 2},
    ),
    "rows": ({"layout": "rows"}, {"layout": "rows"}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_settings_are_those_of_the_recipe(written, config_alone, case) -> None:
    given, expected = CASES[case]
    run = _described(written, str(config_alone), **given).run
    assert {key: getattr(run, key) for key in expected} == expected


def test_the_base_says_its_type(written, config_alone) -> None:
    base = BaseModel(str(config_alone), dtype="bfloat16")
    run = _described(written, base, lora=LoraConfig(r=2, target_modules=["q_proj"])).run
    assert (run.weights, run.adapter_weights) == ("bfloat16", "float32")


def test_what_is_not_counted_is_told(written, config_alone) -> None:
    lora = LoraConfig(r=2, target_modules=["q_proj"], lora_dropout=0.1)
    found = _described(written, str(config_alone), lora=lora, compile=True)
    assert [note for note in found.notes if "not counted" in note] == [
        "model.lora.lora_dropout is not counted", "model.compile is not counted",
    ]  # fmt: skip
    assert not any("not counted" in note for note in _described(written, str(config_alone)).notes)


def test_without_a_tokenizer_tokens_are_those_of_the_tiny_model(written, tmp_path) -> None:
    stub_model().config.save_pretrained(tmp_path / "model")
    folder = written(forget="a:cd")
    module = UnlearningModule({"forget": objective("nll")}, base=str(tmp_path / "model"))
    data = UnlearningDataModule(
        {"forget": qa(folder / "forget.jsonl")}, tokenizer=str(tmp_path / "model")
    )
    trainer = L.Trainer(accelerator="cpu", logger=False, max_epochs=1, enable_checkpointing=False)
    found: Described = describe(module, data, trainer, H100)
    assert any("tokens are those of the tiny model" in note for note in found.notes)
    assert found.rows == {"forget": 1}


def test_what_is_free_for_the_heads_chunks_is_beside_the_weights(written, tmp_path) -> None:
    folder = save_stub(None, tmp_path / "whole")
    found = _described(written, str(folder))
    held = 2 * 4 * found.shapes.weights  # policy and frozen reference
    assert found.run.memory == 80 * 10**9 - held


class _SecondStep(L.Callback):
    """Forgets the peak of the first step, in which there are no states yet."""

    def __init__(self, live: Live) -> None:
        self.live = live

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx) -> None:
        self.live.peak = 0


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optimizer": partial(torch.optim.AdamW, lr=1e-3, foreach=True)},
        {"optimizer": partial(torch.optim.RMSprop, lr=1e-3), "names": {"forget": "npo"}},
    ],
    ids=["adamw", "foreach", "rmsprop"],
)
def test_the_memory_on_a_cpu_is_the_measured_peak(tmp_path, options) -> None:
    torch.manual_seed(0)
    options = {"optimizer": partial(torch.optim.AdamW, lr=1e-3), "names": KL, **options}
    names = options.pop("names")
    config = LlamaConfig(
        vocab_size=512, hidden_size=64, intermediate_size=192, num_hidden_layers=4,
        num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    for name in names:
        rows = [{"prompt": "abcd" * 2, "response": "edcba" * 4}] * 8
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = stub_data({name: qa(tmp_path / f"{name}.jsonl") for name in names}, batch_size=4)
    given = {"schedule": "constant", "layout": "packed", "base": str(tmp_path), **options}
    made = UnlearningModule({k: objective(v) for k, v in names.items()}, **given)
    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_checkpointing=False, enable_model_summary=False,
        devices=1, max_steps=2, enable_progress_bar=False,
    )  # fmt: skip
    memory, notes = memory_here(made, data, trainer)
    assert notes == ["the layout is packed, by the model's class"]
    with Live() as live:
        trainer.callbacks.append(_SecondStep(live))
        trainer.fit(made, datamodule=data)
    assert memory.peak == pytest.approx(live.peak, rel=0.1)


def test_the_memory_on_a_cpu_is_of_the_strategy_of_the_recipe(written, config_alone) -> None:
    one = _described(written, str(config_alone), of=memory_here)[0]
    spread = {"devices": 2, "strategy": "fsdp2"}
    shared = _described(written, str(config_alone), trainer=spread, of=memory_here)[0]
    weights = [memory.moments["in the step"]["weights"] for memory in (one, shared)]
    assert weights == [4 * stub_model().num_parameters() / n for n in (1, 2)]
