"""torchrun with two processes on the CPU: the run of ``devices: 2``, also when it is stopped."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import PATIENCE, free_port
from rows import UNEQUAL
from safetensors.torch import load_file
from stub import save_stub

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
RECIPE = """\
model:
  base: stub
  optimizer: {name: AdamW, lr: 1.0e-2}
  objectives: {forget: {name: gradient_ascent, weight: 0.1}, retain: {name: retain_kl}}
data:
  batch_size: 1
  max_length: 64
  streams:
    forget: {name: qa, path: forget.jsonl}
    retain: {name: qa, path: retain.jsonl}
trainer:
  max_steps: 6
  accelerator: cpu
  devices: 2
  strategy: ddp
"""
TORCHRUN = ("-m", "torch.distributed.run", "--nproc_per_node", "2")


@pytest.fixture(scope="module")
def folder(written, tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("torchrun")
    for path in written(**UNEQUAL).glob("*.jsonl"):
        (made / path.name).write_bytes(path.read_bytes())
    save_stub({"random_init": 1, "dropout": 0.2}, made / "stub")
    (made / "recipe.yaml").write_text(RECIPE)
    return made


def _fit(folder: Path, run_dir: str, *words: str, launcher: tuple[str, ...] = ()):
    return subprocess.run(
        [sys.executable, *launcher, "-m", "unlearnkit", "fit", "-r", "recipe.yaml",
         "--run_dir", run_dir, *words],
        cwd=folder, timeout=PATIENCE, capture_output=True, text=True,
        env={
            **os.environ, "COLUMNS": "300", "MASTER_PORT": str(free_port()),
            "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
        },
    )  # fmt: skip


def _weights(folder: Path, run_dir: str) -> dict[str, torch.Tensor]:
    (found,) = (folder / run_dir).glob("recipe/*/model")
    return load_file(found / "model.safetensors")


@pytest.fixture(scope="module")
def whole(folder) -> dict[str, torch.Tensor]:
    done = _fit(folder, "whole")
    assert done.returncode == 0, done.stderr
    return _weights(folder, "whole")


@pytest.mark.ranks
def test_torchrun_trains_as_devices_do(folder, whole) -> None:
    done = _fit(folder, "torchrun", launcher=TORCHRUN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("6 steps in") == 1
    found = _weights(folder, "torchrun")
    assert found.keys() == whole.keys()
    assert all(torch.equal(found[key], weight) for key, weight in whole.items())


@pytest.mark.parametrize(
    ("to", "launcher"),
    [
        pytest.param("launcher", TORCHRUN, marks=pytest.mark.ranks),
        ("both", TORCHRUN),
        ("self", ()),
    ],
)
def test_a_terminated_run_saves_and_ends_where_the_whole_one_ends(
    folder, whole, to, launcher
) -> None:
    run_dir = f"{to}-{len(launcher)}"
    stop = f"[{{name: stop.Stop, to: {to}}}]"
    done = _fit(folder, run_dir, "--trainer.callbacks", stop, launcher=launcher)
    assert done.returncode != 0
    assert done.stderr.count("SIGTERM at step 4; saved") == 1, done.stderr
    assert "--ckpt_path last" in done.stderr
    last = ("--ckpt_path", "last")
    refused = _fit(folder, run_dir, *last, launcher=launcher)
    assert refused.returncode != 0
    assert "trainer.callbacks.0.class_path: stop.Stop is now not there" in refused.stderr
    # Of an own callback it is not known whether it trains.
    resumed = _fit(folder, run_dir, *last, "--resume_with_changes", launcher=launcher)
    assert resumed.returncode == 0, resumed.stderr
    found = _weights(folder, run_dir)
    assert all(torch.equal(found[key], weight) for key, weight in whole.items())


@pytest.mark.ranks
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_a_killed_process_ends_the_run_with_the_way_to_go_on(folder, whole, strategy) -> None:
    by = ("--trainer.strategy", strategy)
    if strategy == "fsdp2":
        assert _fit(folder, "whole-fsdp2", *by).returncode == 0
        whole = _weights(folder, "whole-fsdp2")
    saving = "{name: ModelCheckpoint, every_n_train_steps: 1, save_top_k: -1}"
    words = ("--trainer.callbacks", f"[{saving}, {{name: stop.Killed}}]", *by)
    killed = f"killed-{strategy}"
    done = _fit(folder, killed, *words)
    assert done.returncode == 143, (done.returncode, done.stderr)
    assert "another process of this run ended" in done.stderr, done.stderr
    assert "fault of unlearnkit" not in done.stderr
    kept = sorted(path.name for path in (folder / killed).rglob("*step=*.ckpt"))
    # The one of step 3 may still be on its way where checkpoints are written in the background.
    assert kept[-1].endswith("step=3.ckpt") or (strategy == "fsdp2" and len(kept) == 2), kept
    (checkpoint,) = (folder / killed).rglob(kept[-1])
    assert f"The last checkpoint before it is {checkpoint.relative_to(folder)}" in done.stderr
    resumed = _fit(folder, killed, *by, "--ckpt_path", "last", "--resume_with_changes")
    assert resumed.returncode == 0, resumed.stderr
    found = _weights(folder, killed)
    assert all(torch.equal(found[key], weight) for key, weight in whole.items())


@pytest.mark.ranks
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_where_the_first_process_is_killed_one_that_is_left_says_it(folder, strategy) -> None:
    saving = "{name: ModelCheckpoint, every_n_train_steps: 1, save_top_k: -1}"
    callbacks = f"[{saving}, {{name: stop.Killed, rank: 0}}]"
    run_dir = f"first-{strategy}"
    words = ("--trainer.callbacks", callbacks, "--trainer.strategy", strategy)
    done = _fit(folder, run_dir, *words)  # returns when the last process has ended
    assert done.returncode == -9, (done.returncode, done.stderr)
    assert done.stderr.count("another process of this run ended") == 1, done.stderr
    assert "Traceback" not in done.stderr
    kept = sorted(path for path in (folder / run_dir).rglob("*step=*.ckpt"))
    assert f"The last checkpoint before it is {kept[-1]}" in done.stderr, (kept, done.stderr)
    assert "--ckpt_path last" in done.stderr


@pytest.mark.ranks
def test_a_process_killed_before_the_first_step_leaves_the_way_to_start_again(folder) -> None:
    callbacks = "[{name: stop.Killed, after: 0}]"
    done = _fit(folder, "first-step", "--trainer.callbacks", callbacks)
    assert done.returncode == 143, (done.returncode, done.stderr)
    assert done.stderr.count("another process of this run ended") == 1, done.stderr
    assert "warning: another process" not in done.stderr
    assert "Start it again with the same command." in done.stderr, done.stderr
