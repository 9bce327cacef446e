"""Whole runs under FSDP2 on two CPU processes, from recipe to model folder."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import PATIENCE, free_port
from rounding import near
from rows import FORGET, RETAIN
from safetensors.torch import load_file
from stub import save_stub
from transformers import AutoModelForCausalLM

from unlearnkit.errors import RecipeError
from unlearnkit.models.load import load_model

pytestmark = [pytest.mark.slow, pytest.mark.ranks]

RECIPE = """\
model:
  base: stub
  optimizer: {name: AdamW, lr: 1.0e-2}
  objectives: {forget: {name: gradient_ascent}, retain: {name: retain_kl}}
data:
  batch_size: 2
  max_length: 64
  streams:
    forget: {name: qa, path: forget.jsonl}
    retain: {name: qa, path: retain.jsonl}
    eval: {name: qa, path: eval.jsonl}
trainer:
  max_steps: 2
  accelerator: cpu
  devices: 2
  strategy: fsdp2
  callbacks: [{name: sample_generations, stream: eval, prompts: 3, every_n_epochs: 1}]
"""
LORA = "{r: 2, target_modules: [q_proj, v_proj]}"


@pytest.fixture
def command(written, tmp_path):
    """Runs the command in a folder with the files of the recipe."""
    source = written(forget=FORGET, retain=RETAIN, eval="a:b abcdeabcde:d ab:a")
    for path in source.glob("*.jsonl"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    save_stub({"random_init": 1}, tmp_path / "stub")
    (tmp_path / "recipe.yaml").write_text(RECIPE)

    def run(
        *words: str, entry: tuple[str, ...] = ("-m", "unlearnkit")
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *entry, "fit", "-r", "recipe.yaml", *words],
            cwd=tmp_path, timeout=PATIENCE, capture_output=True, text=True,
            env={**os.environ, "COLUMNS": "300", "MASTER_PORT": str(free_port())},
        )  # fmt: skip

    return run


def _model_folder(folder: Path) -> Path:
    (found,) = folder.glob("runs/recipe/*/model")
    return found


def test_generation_before_amid_and_after_a_sharded_run(command, tmp_path) -> None:
    saying = "{name: sample_generations, stream: eval, prompts: 3, every_n_epochs: 1}"
    done = command(
        "--evaluate", "[{name: copyright, normal: retain}]",
        "--trainer.callbacks", f"[{saying}, {{name: evaluate_every, steps: 1}}]",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    folder = _model_folder(tmp_path)
    summary = json.loads((folder.parent / "summary.json").read_text())
    figures = summary["suites"]["copyright"]
    assert set(figures["before"]) <= set(figures["after"])
    assert figures["before"]["forget/nll"] < figures["after"]["forget/nll"]
    with (folder.parent / "metrics.csv").open() as file:
        amid = [line["val/copyright/forget/nll"] for line in csv.DictReader(file)]
    first, last = (float(each) for each in amid if each)
    assert figures["before"]["forget/nll"] < first < last
    assert last == near(figures["after"]["forget/nll"], size=4.0)
    assert "abcdeabcde" in done.stdout
    model, gaps = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True)
    assert type(model).__name__ == "LlamaForCausalLM"
    assert not gaps["missing_keys"]
    assert not gaps["unexpected_keys"]
    start = load_file(tmp_path / "stub" / "model.safetensors")
    end = load_file(folder / "model.safetensors")
    assert {k: v.shape for k, v in start.items()} == {k: v.shape for k, v in end.items()}
    assert not torch.equal(start["lm_head.weight"], end["lm_head.weight"])
    digests = json.loads((folder / "digests.json").read_text())["sha256"]
    weights = folder / "model.safetensors"
    content = weights.read_bytes()
    assert digests["model.safetensors"] == hashlib.sha256(content).hexdigest()
    assert {"config.json", "tokenizer.json"} < digests.keys()
    load_model(str(folder))
    weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(RecipeError, match=r"model\.safetensors \(changed\)"):
        load_model(str(folder))


WITHOUT_COPIES = """\
import sys

from unlearnkit.cli.main import main
from unlearnkit.runs import ranks


def plain_copy(*_):
    raise AssertionError("a process loads a whole model")


ranks.plain_copy = plain_copy
sys.exit(main())
"""


def test_suites_measure_models_that_no_process_holds_whole(command, tmp_path) -> None:
    (tmp_path / "without_copies.py").write_text(WITHOUT_COPIES)
    save_stub({"random_init": 2}, tmp_path / "gold")
    words = ("--evaluate", "[{name: copyright, normal: retain}]", "--gold", "gold")
    copies = command(*words, "--run_dir", "copies")
    assert copies.returncode == 0, copies.stderr
    strategy = ("--trainer.strategy", "{name: fsdp2, evaluation: sharded}")
    sharded = command(*words, *strategy, "--run_dir", "sharded", entry=("without_copies.py",))
    assert sharded.returncode == 0, sharded.stderr
    rows = [next(tmp_path.glob(f"{kind}/*/*/rows.jsonl")) for kind in ("copies", "sharded")]
    assert {json.loads(line)["when"] for line in rows[0].open()} == {"before", "after", "gold"}
    assert rows[0].read_bytes() == rows[1].read_bytes()
    planted = command(*words, "--run_dir", "planted", entry=("without_copies.py",))
    assert "a process loads a whole model" in planted.stderr


def test_lora_in_bfloat16_trains_sharded(command, tmp_path) -> None:
    done = command("--model.lora", LORA, "--trainer.precision", "bf16-true")
    assert done.returncode == 0, done.stderr
    adapter = load_file(_model_folder(tmp_path) / "adapter_model.safetensors")
    environment = json.loads(next(tmp_path.rglob("environment.json")).read_text())
    sizes = load_file(tmp_path / "stub" / "model.safetensors").values()
    base = sum(weight.numel() for weight in sizes)
    trained = sum(weight.numel() for weight in adapter.values())
    # Sharded weights count whole.
    assert environment["training"]["parameters"] == base + trained
    assert environment["training"]["trained"] == trained
    batch = "effective batch 3 = all of an epoch, fewer than 2 × 1 accumulated × 2 processes"
    assert done.stderr.count(batch) == 1
    raised = [weight for name, weight in adapter.items() if "lora_B" in name]
    assert len(raised) == 4
    assert all(float(weight.float().norm()) > 0 for weight in raised)


def test_an_adapter_in_float32_trains_on_a_sharded_base_in_bfloat16(command, tmp_path) -> None:
    done = command("--model.lora", LORA, "--model.base", "{path: stub, dtype: bfloat16}")
    assert done.returncode == 0, done.stderr
    adapter = load_file(_model_folder(tmp_path) / "adapter_model.safetensors")
    assert {weight.dtype for weight in adapter.values()} == {torch.float32}
    assert all(float(each.norm()) > 0 for name, each in adapter.items() if "lora_B" in name)


def test_trained_weights_of_two_types_are_refused_with_what_works(command) -> None:
    lora = "{r: 2, target_modules: [q_proj, v_proj], modules_to_save: [lm_head]}"
    done = command("--model.lora", lora, "--model.base", "{path: stub, dtype: bfloat16}")
    assert done.returncode == 2
    assert "trainer.strategy: fsdp2 needs trained weights of one type" in done.stderr
    assert "bfloat16 and float32" in done.stderr
    assert "trainer.precision: bf16-true" in done.stderr
    assert "flatten" not in done.stderr


def test_a_cached_reference_and_parts_train_as_one_process_does(command, tmp_path) -> None:
    """Also where evaluations amid have left weights gathered."""
    every = "[{name: evaluate_every, steps: 1}]"
    words = (
        "--model.reference", "cached", "--trainer.accumulate_grad_batches", "2",
        "--trainer.max_steps", "3", "--evaluate", "[{name: copyright, normal: retain}]",
        "--trainer.callbacks", every, "--run_dir",
    )  # fmt: skip
    two = command(*words, "two", "--model.max_tokens_per_micro_batch", "4")
    assert two.returncode == 0, two.stderr
    alone = ("--trainer.devices", "1", "--trainer.strategy", "auto", "--data.batch_size", "4")
    one = command(*words, "one", *alone)
    assert one.returncode == 0, one.stderr
    steps = {}
    for name in ("one", "two"):
        (folder,) = (tmp_path / name).glob("recipe/*")
        assert [each.name for each in (folder / "reference").iterdir()] == ["retain.safetensors"]
        with (folder / "metrics.csv").open() as file:
            lines = [*csv.DictReader(file)]
        assert sum(1 for each in lines if each["val/copyright/forget/nll"]) == 3
        steps[name] = [float(each["train/loss"]) for each in lines if each["train/loss"]]
    assert len(steps["one"]) == 3
    assert steps["two"] == near(steps["one"], size=4.0)


def test_fsdp_on_a_cpu_is_one_sentence(command) -> None:
    done = command("--trainer.strategy", "fsdp")
    assert done.returncode == 2
    assert "requires a GPU accelerator" in done.stderr
    assert "trainer.strategy: fsdp2" in done.stderr
    assert "Traceback" not in done.stderr
