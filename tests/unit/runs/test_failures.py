"""A disk that fails under a run: a clear message, and the checkpoint before it to continue from."""

from __future__ import annotations

import errno
import os
import resource
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import lightning as L
import processes
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from peft import LoraConfig

from unlearnkit import UserError
from unlearnkit.cli.main import main
from unlearnkit.errors import Interrupted
from unlearnkit.runs.checkpoints import newest_checkpoint
from unlearnkit.runs.failures import (
    evaluated_later,
    left_to_first,
    told_if_alone,
    told_with_checkpoint,
)

EACH_STEP = partial(ModelCheckpoint, every_n_train_steps=1)


def _weights(module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.policy.parameters()]).clone()


def _limited(size: int, *words: str) -> int:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return main(list(words))


RECIPE = """\
model:
  base: {base}
  optimizer: {{name: AdamW, lr: 1.0e-2}}
  objectives: {{forget: {{name: npo}}, retain: {{name: retain_kl}}}}
data:
  batch_size: 1
  streams:
    forget: {{name: qa, path: forget.jsonl}}
    retain: {{name: qa, path: retain.jsonl}}
trainer:
  max_steps: 6
  accelerator: cpu
  enable_progress_bar: false
  callbacks: [{{class_path: ModelCheckpoint, init_args: {{every_n_train_steps: 2}}}}]
evaluate: []
"""


@pytest.fixture
def limited(base, start, tmp_path):
    """Runs the command where no file may grow beyond so many bytes."""
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(base=base))

    def run(size: int, *words: str) -> processes.Done:
        given = (size, "fit", "-r", "recipe.yaml", *words)
        return processes.run(_limited, *given, cwd=tmp_path, env={"COLUMNS": "300"})

    return run


def test_a_file_that_the_system_cuts_off_is_a_clear_error_and_leaves_nothing(
    limited, tmp_path
) -> None:
    done = limited(60_000)
    assert done.returncode == 2, done.stderr
    assert "cannot write the checkpoint" in done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.ckpt"))
    assert not list(tmp_path.rglob("*.unfinished"))
    done = limited(10**9)
    assert done.returncode == 0, done.stderr


class _Fill(L.Callback):
    """From a step on the disk is full for every file that is opened to be written."""

    def __init__(self, monkeypatch, at: int, name: str) -> None:
        self.monkeypatch, self.at, self.name = monkeypatch, at, name

    def on_train_batch_start(self, trainer, *_) -> None:
        if trainer.global_step != self.at:
            return
        real = open

        def full(path, mode="r", *arguments, **options):
            if self.name in str(path) and set(mode) & set("wxa"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            return real(path, mode, *arguments, **options)

        self.monkeypatch.setattr("builtins.open", full)


def test_a_full_disk_under_the_log_ends_the_run_with_its_checkpoint(
    start, tmp_path, monkeypatch
) -> None:
    whole, _ = start(run_dir=tmp_path / "whole")
    with pytest.raises(UserError, match=r"cannot write to .*metrics\.csv: No space") as caught:
        start(_Fill(monkeypatch, 4, "metrics.csv"), EACH_STEP())
    monkeypatch.undo()
    newest = newest_checkpoint(tmp_path / "runs")
    assert (
        caught.value.hint
        == f"Once it can be written to, continue from {newest} with --ckpt_path last."
    )
    resumed, summary = start(EACH_STEP(), ckpt_path="last")
    assert summary.steps == 6
    assert torch.equal(_weights(resumed), _weights(whole))


def test_a_full_disk_under_a_checkpoint_and_the_run_goes_on_to_the_same_end(
    start, tmp_path, monkeypatch
) -> None:
    whole, _ = start(run_dir=tmp_path / "whole")
    save = torch.save

    def full(checkpoint, file) -> None:
        if checkpoint["global_step"] < 3:
            return save(checkpoint, file)
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(UserError, match="No space left on device") as caught:
        start(EACH_STEP())
    monkeypatch.undo()
    newest = newest_checkpoint(tmp_path / "runs")
    assert str(newest) in str(caught.value)
    assert torch.load(newest, weights_only=True)["global_step"] == 2
    resumed, _ = start(EACH_STEP(), ckpt_path="last")
    assert torch.equal(_weights(resumed), _weights(whole))


class _Block(L.Callback):
    """Puts a file where the checkpoints would go next, so that nobody can write there."""

    def on_train_batch_start(self, trainer, *_) -> None:
        if trainer.global_step == 3:
            folder = Path(trainer.checkpoint_callback.dirpath)
            folder.rename(folder.with_name("moved"))
            folder.write_text("in the way")


def test_a_checkpoint_folder_that_cannot_be_written_any_more(start, tmp_path) -> None:
    whole, _ = start(run_dir=tmp_path / "whole")
    with pytest.raises(UserError, match=r"cannot write the checkpoint .*step=4\.ckpt"):
        start(_Block(), EACH_STEP())
    resumed, _ = start(EACH_STEP(), ckpt_path="last")
    assert torch.equal(_weights(resumed), _weights(whole))


def test_a_model_that_cannot_be_saved_leaves_the_checkpoint_to_go_on_from(
    start, tmp_path, monkeypatch
) -> None:
    def full(self, folder, *arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
    with pytest.raises(UserError, match="cannot save the model") as caught:
        start(EACH_STEP())
    monkeypatch.undo()
    newest = newest_checkpoint(tmp_path / "runs")
    assert caught.value.hint is not None
    assert str(newest) in caught.value.hint
    resumed, summary = start(ckpt_path="last")
    assert summary.steps == 6
    whole, _ = start(run_dir=tmp_path / "whole")
    assert torch.equal(_weights(resumed), _weights(whole))


def test_too_little_room_for_the_model_is_told_before_the_training(
    start, tmp_path, monkeypatch
) -> None:
    usage = type("Usage", (), {"free": 20_000})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match="what is trained takes 22 KiB, and 20 KiB are free"):
        start(EACH_STEP())
    assert not list(tmp_path.rglob("*.ckpt"))
    adapter = LoraConfig(r=2, target_modules=["q_proj"])
    _, summary = start(lora=adapter, max_steps=1)  # it is small
    assert summary.steps == 1


@pytest.mark.parametrize("saved", [True, False])
def test_a_process_that_lost_another_one_says_so_with_the_checkpoint(
    tmp_path, monkeypatch, saved
) -> None:
    if saved:
        (tmp_path / "a.ckpt").touch()
    said = "[gloo/transport/tcp/pair.cc:544] Connection closed by peer [127.0.0.1]:4242"
    with pytest.raises(RuntimeError, match="closed by peer"), told_with_checkpoint(tmp_path):
        raise RuntimeError(said)  # of a single process it is something else
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    with (
        pytest.raises(Interrupted, match="another process") as caught,
        told_with_checkpoint(tmp_path),
    ):
        raise RuntimeError(said)
    assert caught.value.signum == 15
    assert (str(tmp_path / "a.ckpt") in (caught.value.hint or "")) == saved
    with pytest.raises(RuntimeError, match="shape"), told_with_checkpoint(tmp_path):
        raise RuntimeError("shape")


LOST = "[gloo/transport/tcp/pair.cc:544] Connection closed by peer [127.0.0.1]:4242"


@pytest.fixture
def connected(monkeypatch) -> None:
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)


@pytest.mark.parametrize("told", [evaluated_later, lambda folder: left_to_first(lambda: folder)])
def test_a_process_lost_after_the_training_leaves_the_way_to_what_is_missing(
    tmp_path, connected, told
) -> None:
    with (
        pytest.raises(Interrupted, match="another process of this run ended") as caught,
        told(tmp_path),
    ):
        raise RuntimeError(LOST)
    again = "No checkpoint had been written yet. Start it again with the same command."
    assert caught.value.hint == again  # nor is there a model
    (tmp_path / "model").mkdir()
    (tmp_path / "summary.json").touch()
    with pytest.raises(Interrupted) as caught, told(tmp_path):
        raise RuntimeError(LOST)
    assert "The training is complete" in (caught.value.hint or "")
    assert f"`unlearnkit evaluate {tmp_path}`" in (caught.value.hint or "")


def test_what_fails_by_itself_beside_the_first_is_a_line(tmp_path, connected, caplog) -> None:
    with left_to_first(lambda: tmp_path):
        raise ValueError("no rows")
    (record,) = caplog.records
    assert record.getMessage() == "this process could not evaluate: ValueError: no rows"
    assert record.exc_info is None


def test_a_process_lost_between_phases_leaves_the_way_to_go_on(tmp_path, connected) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "summary.json").touch()
    of_phase = told_if_alone()  # as of a fit that has written no checkpoint yet
    for inner in (nullcontext(), of_phase):
        with pytest.raises(Interrupted) as caught, told_if_alone(tmp_path), inner:
            raise RuntimeError(LOST)
        assert "finished phases are kept" in (caught.value.hint or "")
        assert "--ckpt_path last" in (caught.value.hint or "")
