"""Runs on a CUDA device: precision, FSDP2 on one GPU, exact resume, a recipe end to end."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import lightning as L
import pytest
import torch
from peft import LoraConfig
from rows import UNEQUAL
from safetensors.torch import load_file
from short_fits import Recorder, objective, qa, stub_data, stub_module
from stub import save_stub, stub_tokenizer
from transformers import LlamaConfig, LlamaForCausalLM

from unlearnkit import UnlearningDataModule, UnlearningModule, load_run
from unlearnkit.models.base import BaseModel

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
ACCELERATOR = "gpu"
LORA = LoraConfig(r=2, target_modules=["q_proj", "v_proj"])
RECIPE = f"""\
model:
  base: stub
  optimizer: {{name: SGD, lr: 0.1}}
  objectives: {{forget: {{name: npo}}, retain: {{name: retain_kl}}}}
data:
  batch_size: 2
  max_length: 64
  streams:
    forget: {{name: qa, path: forget.jsonl}}
    retain: {{name: qa, path: retain.jsonl}}
trainer: {{max_steps: 6, accelerator: {ACCELERATOR}, devices: 1}}
"""


def _trainer(*callbacks: L.Callback, **arguments) -> L.Trainer:
    return L.Trainer(
        accelerator=ACCELERATOR, devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False, callbacks=list(callbacks),
        **arguments,
    )  # fmt: skip


def _figures(folder: Path, precision: str, **arguments):
    torch.manual_seed(0)
    module = stub_module(
        {"forget": objective("npo"), "retain": objective("retain_kl")},
        {"random_init": 1},
        lr=0.1,
        **arguments,
    )
    streams = {name: qa(folder / f"{name}.jsonl") for name in ("forget", "retain")}
    recorder = Recorder()
    trainer = _trainer(recorder, max_steps=3, precision=precision)
    trainer.fit(module, datamodule=stub_data(streams, batch_size=2))
    return module, [each["total"] for each in recorder.figures]


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("precision", ["bf16-mixed", "bf16-true", "16-mixed"])
def test_each_precision_trains_near_float32(written, precision, lora) -> None:
    folder = written(**UNEQUAL)
    _, whole = _figures(folder, "32-true", lora=lora)
    module, found = _figures(folder, precision, lora=lora)
    held = torch.bfloat16 if precision == "bf16-true" else torch.float32
    assert {p.dtype for p in module.policy.parameters()} == {held}
    # With float16 the scaler may skip the first steps, so only the first loss is the same.
    compared = 1 if precision == "16-mixed" else 3
    assert found[:compared] == pytest.approx(whole[:compared], rel=2e-2)


@pytest.mark.parametrize(
    ("precision", "dtype"), [("32-true", "bfloat16"), ("bf16-true", "float32")]
)
def test_a_reference_of_another_type(written, precision, dtype) -> None:
    folder = written(**UNEQUAL)
    _, whole = _figures(folder, "32-true")
    module, found = _figures(folder, precision, reference_dtype=dtype)
    assert {p.dtype for p in module.reference.model.parameters()} == {getattr(torch, dtype)}
    assert found == pytest.approx(whole, rel=2e-2)


def test_compiled_blocks_train_as_plain_ones(written) -> None:
    folder = written(**UNEQUAL)
    _, plain = _figures(folder, "32-true")
    _, compiled = _figures(folder, "32-true", compile=True)
    assert compiled == pytest.approx(plain, rel=1e-3)


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_an_adapter_learns_on_quantised_weights(written, tmp_path, bits) -> None:
    pytest.importorskip("bitsandbytes")
    tokenizer = stub_tokenizer()
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=2, max_position_embeddings=512, eos_token_id=3, pad_token_id=0,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path / "wide")
    tokenizer.save_pretrained(tmp_path / "wide")
    module = UnlearningModule(
        {"forget": objective("npo"), "retain": objective("retain_kl")},
        base=BaseModel(str(tmp_path / "wide"), quantization=bits, dtype="bfloat16"),
        lora=LORA,
        optimizer=partial(torch.optim.AdamW, lr=1e-2),
    )
    folder = written(**UNEQUAL)
    data = UnlearningDataModule(
        {name: qa(folder / f"{name}.jsonl") for name in ("forget", "retain")},
        tokenizer=str(tmp_path / "wide"),
        batch_size=2,
    )
    _trainer(max_steps=4, precision="bf16-mixed").fit(module, datamodule=data)
    raised = [p.detach() for n, p in module.policy.named_parameters() if "lora_B" in n]
    assert len(raised) == 4
    assert all(float(p.norm()) > 0 for p in raised)


@pytest.fixture
def command(written, tmp_path):
    """Runs the command in a folder with a small recipe."""
    for path in written(**UNEQUAL).glob("*.jsonl"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    save_stub({"random_init": 1, "dropout": 0.2}, tmp_path / "stub")
    (tmp_path / "recipe.yaml").write_text(RECIPE)

    def run(run_dir: str, *words: str, recipe: str = "recipe.yaml") -> Path:
        done = subprocess.run(
            [sys.executable, "-m", "unlearnkit", "fit", "-r", recipe, "--run_dir", run_dir, *words],
            cwd=tmp_path, timeout=600, capture_output=True, text=True, env=dict(os.environ),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        (found,) = (tmp_path / run_dir).glob("*/*")
        return found

    return run


def _weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def test_a_resumed_run_ends_where_the_whole_one_does(command) -> None:
    """Bit for bit, with dropout, under PyTorch's deterministic algorithms."""
    saving = "[{name: ModelCheckpoint, every_n_train_steps: 3, save_top_k: -1}]"
    words = ("--trainer.deterministic", "true", "--trainer.callbacks", saving)
    whole = command("whole", *words)
    (third,) = (whole / "checkpoints").glob("*step=3.ckpt")
    resumed = command("resumed", *words, "--ckpt_path", str(third))
    again = _weights(resumed)
    assert all(torch.equal(again[key], weight) for key, weight in _weights(whole).items())


def test_fsdp2_on_one_device_trains_as_without(command, tmp_path) -> None:
    save_stub({"random_init": 1}, tmp_path / "no_dropout")
    base = ("--model.base", "no_dropout")
    plain = _weights(command("plain", *base))
    sharded = _weights(command("sharded", *base, "--trainer.strategy", "fsdp2"))
    assert plain.keys() == sharded.keys()
    for key, weight in plain.items():
        assert torch.allclose(sharded[key], weight, atol=1e-4), key


def test_the_first_recipe_forgets(command) -> None:
    run = load_run(
        command("runs", "--trainer.accelerator", ACCELERATOR, "--trainer.devices", "1",
                recipe="copyright")
    )  # fmt: skip
    figures = run.summary["suites"]["copyright"]
    assert figures["after"]["forget/nll"] > figures["before"]["forget/nll"] + 1
    assert figures["after"]["forget/leak_rate"] <= figures["before"]["forget/leak_rate"]
    card = (run.model / "README.md").read_text()
    assert "### copyright" in card
    environment = json.loads((run.folder / "environment.json").read_text())
    assert environment["batches"]["processes"] == 1
