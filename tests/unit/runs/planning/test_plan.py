"""Plans of runs are sums that can be worked out by hand."""

from __future__ import annotations

import json

import lightning as L
import pytest
from peft import LoraConfig
from short_fits import objective, qa
from transformers import LlamaConfig

from unlearnkit import UnlearningDataModule, UnlearningModule
from unlearnkit.cost.gpus import machine
from unlearnkit.engine.training.fsdp2 import FSDP2Strategy
from unlearnkit.runs.planning.plan import PER_BLOCK, Plan, plan_run
from unlearnkit.suites import Copyright
from unlearnkit.suites.base import Suite

SIZES = {
    "vocab_size": 128256, "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 80,
    "num_attention_heads": 64, "num_key_value_heads": 8, "tie_word_embeddings": False,
    "architectures": ["LlamaForCausalLM"],
}  # fmt: skip
P = 70_553_706_496
LORA = LoraConfig(r=16, target_modules=["q_proj"])


@pytest.fixture
def planned(tmp_path, written):
    """Plans a run of 70 billion weights, of which only a config is there."""
    LlamaConfig(**SIZES).save_pretrained(tmp_path)
    folder = written(forget="a:cd b:eee c:d", retain="a:ab b:b c:abcd d:a")

    def plan(gpu="h100x8", strategy="fsdp2", suites=(), **options) -> Plan:
        losses = {"forget": objective("npo"), "retain": objective("retain_kl")}
        module = UnlearningModule(losses, base=str(tmp_path), **options)
        data = UnlearningDataModule(
            {name: qa(folder / f"{name}.jsonl") for name in losses}, tokenizer="tiny"
        )
        found = machine(gpu)
        trainer = L.Trainer(
            accelerator="cpu", devices=found.each or 1, num_nodes=found.nodes, strategy=strategy,
            precision="bf16-true", max_epochs=3, logger=False, enable_checkpointing=False,
        )  # fmt: skip
        return plan_run(module, data, trainer, found, suites)

    return plan


def test_seventy_billion_weights_on_eight_gpus(planned) -> None:
    found = planned()
    assert found.described.shapes.weights == P
    step = found.memory.moments["in the step"]
    # Weights, gradients, two moments and the frozen reference in bfloat16, and foreach's copy.
    assert sum(step.values()) == pytest.approx(6 * 2 * P / 8)
    assert not found.fits
    assert found.host["the model, read by each process"] == 8 * 2 * P
    assert found.disk["one checkpoint"] == 3 * 2 * P
    settings, peak = found.fitting or ([], 0.0)
    assert any(each.startswith("model.lora") for each in settings)
    assert 0 < peak <= 72e9


def test_an_adapter_fits_where_all_weights_do_not(planned) -> None:
    found = planned(lora=LORA, gradient_checkpointing=True)
    assert found.fits
    assert found.fitting is None
    assert found.disk["model or adapter"] == 80 * 16 * (8192 + 8192) * 2
    assert found.host["a frozen reference"] == 0
    # Two nodes read no more each, and send by the network.
    two = planned("h100x8x2", lora=LORA, gradient_checkpointing=True)
    assert two.host == found.host
    assert two.memory.terms["weights"] == found.memory.terms["weights"] / 2
    assert two.step["links"] > 5 * found.step["links"]


def test_a_suite_holds_the_whole_model_and_reads_it_for_each_token(planned) -> None:
    class Silent(Suite, name="silent_for_plan"):
        def run(self, model, tokenizer, context): ...

    found = planned(suites=[Copyright(max_new_tokens=10), Silent()])
    assert found.evaluated == 2 * P
    reads = max(2 * P / (0.7 * 3350e9), 80 * PER_BLOCK)
    # Two streams, each of one batch.
    assert found.evaluation["copyright"] == pytest.approx(2 * 10 * reads)
    assert found.evaluation["silent_for_plan"] is None
    assert planned().evaluated == 0


def test_sharded_models_are_evaluated_in_parts(planned) -> None:
    strategy = FSDP2Strategy(evaluation="sharded")
    found = planned(strategy=strategy, suites=[Copyright(max_new_tokens=10)])
    assert found.evaluated == 2 * P / 8 + found.memory.terms["gathers of fsdp2"]
    assert 2 * P > 80e9 > found.evaluated


def test_all_figures_are_json(planned) -> None:
    found = planned()
    text = json.loads(json.dumps(found.as_json()))
    assert text["memory"]["peak"] == found.memory.peak
    assert text["memory"]["largest_share"] == 0.9
    assert text["fitting"]["settings"] == (found.fitting or ([], 0))[0]
    assert text["time"]["step"] == max(found.step.values())
    assert text["time"]["training"] == found.described.steps * found.step_seconds
    assert text["basis"] == "reasoned"
