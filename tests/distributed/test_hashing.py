"""One rank hashes the model and checks the checkpoint; the others are told, and read neither."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from processes import PATIENCE, Done, free_port, run, run_ranks
from rows import UNEQUAL
from stub import stub_model, stub_tokenizer

from unlearnkit.runs.export import save_model

HERE = Path(__file__).parent
RECIPE = """\
model:
  base: stub
  schedule: constant
  warmup: 0
  optimizer: {name: SGD, lr: 1.0e-2}
  objectives: {forget: {name: npo}, retain: {name: retain_kl}}
data:
  batch_size: 1
  streams:
    forget: {name: qa, path: forget.jsonl}
    retain: {name: qa, path: retain.jsonl}
trainer:
  max_steps: 2
  accelerator: cpu
  enable_progress_bar: false
  callbacks:
    - {name: counted.Counted, to: .}
    - {name: ModelCheckpoint, every_n_train_steps: 1, save_top_k: -1}
"""
MORE = ("--trainer.max_steps", "3")
OF_BASE = {"config.json": 1, "model.safetensors": 1, "tokenizer.json": 1}


@pytest.fixture
def folder(written, tmp_path, monkeypatch) -> Path:
    """A recipe, its data, and a model with digests that was written an hour ago."""
    for path in written(**UNEQUAL).glob("*.jsonl"):
        shutil.copy(path, tmp_path)
    save_model(stub_model({"random_init": 1}), stub_tokenizer(), tmp_path / "stub")
    hour = time.time() - 3600
    for path in (tmp_path / "stub").iterdir():
        os.utime(path, (hour, hour))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(HERE))
    return tmp_path


def fit(*words: str) -> int:
    """What each rank is started with by a launcher."""
    sys.path[:0] = [str(HERE), "."]
    from unlearnkit.cli.main import main

    return main(["fit", "-r", "recipe.yaml", *words])


def _read(folder: Path) -> list[Counter[str]]:
    return [Counter(json.loads(each.read_text())) for each in sorted(folder.glob("rank*.json"))]


def _said(done: Done) -> str:
    """Without the frame and the line breaks of a panel."""
    return " ".join(done.stderr.replace("│", " ").split())


def _two(*words: str) -> list[Done]:
    two = ("--trainer.devices", "2", "--trainer.strategy", "ddp")
    return run_ranks(2, fit, *two, *words)


def test_one_rank_hashes_and_tells_the_others(folder) -> None:
    for done in _two():
        assert done.returncode == 0, done.stderr
    assert _read(folder) == [OF_BASE, {}]
    for done in _two("--ckpt_path", "last", *MORE):
        assert done.returncode == 0, done.stderr
    (checkpoint,) = folder.rglob("*step=2.ckpt")
    assert _read(folder) == [{**OF_BASE, checkpoint.name: 1}, {}]


@pytest.mark.slow
@pytest.mark.ranks
def test_what_the_first_found_wrong_all_refuse(folder) -> None:
    assert run(fit).returncode == 0
    (checkpoint,) = folder.rglob("*step=2.ckpt")
    weights = folder / "stub" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, (time.time() - 1800,) * 2)
    first, second = _two()
    assert (first.returncode, second.returncode) == (2, 2), second.stderr
    assert "was written: model.safetensors (changed)" in _said(first)
    assert not second.stderr  # of the same machine: told once
    content[-1] ^= 1
    weights.write_bytes(content)
    with checkpoint.open("r+b") as file:
        file.seek(checkpoint.stat().st_size // 2)
        file.write(bytes(200))
    first, second = _two("--ckpt_path", str(checkpoint.relative_to(folder)), *MORE)
    assert (first.returncode, second.returncode) == (2, 2), second.stderr
    assert f"{checkpoint.relative_to(folder)} is damaged" in _said(first)


@pytest.mark.slow
@pytest.mark.ranks
@pytest.mark.parametrize(
    ("strategy", "launcher"),
    [("ddp", ()), ("fsdp2", ("-m", "torch.distributed.run", "--nproc_per_node", "2"))],
)
def test_so_it_is_however_the_ranks_are_started(folder, strategy, launcher) -> None:
    two = ("--trainer.devices", "2", "--trainer.strategy", strategy)
    command = [sys.executable, *launcher, "-m", "unlearnkit", "fit", "-r", "recipe.yaml", *two]
    paths = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    for words in ([], ["--ckpt_path", "last", *MORE]):
        done = subprocess.run(
            [*command, *words],
            cwd=folder, timeout=PATIENCE, capture_output=True, text=True,
            env={
                **os.environ, "COLUMNS": "300", "PYTHONPATH": paths,
                "MASTER_PORT": str(free_port()),
            },
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    (checkpoint,) = folder.rglob("*step=2.ckpt")
    first, second = _read(folder)
    if checkpoint.is_file():
        assert (first, second) == ({**OF_BASE, checkpoint.name: 1}, {})
        return
    # The files of a folder are shared out; what each process loads it checks itself.
    shards = Counter(each.name for each in checkpoint.glob("shard-*"))
    assert first + second == {**OF_BASE, "plain.pt": 2} | shards
    assert second
    assert not second.keys() & OF_BASE.keys()
