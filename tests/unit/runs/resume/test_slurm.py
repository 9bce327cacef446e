"""Jobs of SLURM, by the variables and the command that it gives them."""

from __future__ import annotations

import signal
from functools import partial
from types import SimpleNamespace

import lightning as L
import pytest
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment
from rows import PACED
from short_fits import objective, qa
from stub import save_stub

from unlearnkit import UnlearningDataModule, UnlearningModule, fit
from unlearnkit.errors import Interrupted, RecipeError
from unlearnkit.runs.resume.slurm import (
    leftover_of_lightning,
    refuse_started_by_hand,
    refuse_unknown_tasks,
    requeue,
    requeue_signal,
)

TASK = {
    "SLURM_JOB_ID": "1234", "SLURM_JOB_NAME": "mine", "SLURM_NTASKS": "1", "SLURM_PROCID": "0",
    "SLURM_NTASKS_PER_NODE": "1", "SLURM_LOCALID": "0", "SLURM_NODEID": "0", "SLURM_NNODES": "1",
    "SLURM_STEP_ID": "0",
}  # fmt: skip


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A task of a job, and a command `scontrol` that writes down what it is asked."""
    monkeypatch.chdir(tmp_path)
    for name, value in TASK.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return _scontrol(tmp_path, 'echo "$@" >> asked')


def _scontrol(folder, line):
    file = folder / "bin" / "scontrol"
    file.write_text(f"#!/bin/sh\n{line}\n")
    file.chmod(0o755)
    return folder


class Signal(L.Callback):
    """Sends this process signals amid the third micro-batch."""

    def on_before_backward(self, trainer, *_) -> None:
        if trainer.global_step == 2:
            signal.raise_signal(signal.SIGUSR1)
            signal.raise_signal(signal.SIGTERM)  # as SLURM does when it takes the job away


def _run(folder, *callbacks, **arguments):
    module = UnlearningModule(
        {"forget": objective("gradient_ascent")}, base=str(folder / "base"),
        optimizer=partial(torch.optim.SGD, lr=1e-2),
    )  # fmt: skip
    data = UnlearningDataModule(
        {"forget": qa(folder / "forget.jsonl")}, tokenizer=str(folder / "base"), batch_size=1
    )
    trainer = L.Trainer(
        accelerator="cpu", enable_progress_bar=False, enable_model_summary=False, max_steps=6,
        callbacks=list(callbacks),
    )  # fmt: skip
    return fit(module, data, trainer, recipe_name="case", run_dir=folder / "runs", **arguments)


def test_the_requeue_signal_saves_after_the_step_and_requeues(job, written) -> None:
    (job / "forget.jsonl").write_text((written(**PACED) / "forget.jsonl").read_text())
    save_stub({"random_init": 1}, job / "base")
    with pytest.raises(Interrupted) as stopped:
        _run(job, Signal())
    (saved,) = job.rglob("*.ckpt")
    assert saved.name == "interrupted.ckpt"
    assert stopped.value.message == f"SIGUSR1 at step 3; saved {saved}; job 1234 is requeued"
    assert (job / "asked").read_text() == "requeue 1234\n"
    assert _run(job, ckpt_path="last").steps == 6
    # Lightning's own checkpoint would be loaded in place of the model.
    (job / "hpc_ckpt_1.ckpt").touch()
    with pytest.raises(RecipeError, match=r"hpc_ckpt_1.ckpt: a checkpoint of Lightning's own"):
        _run(job)


def test_a_task_of_an_array_is_requeued_by_its_number(job, monkeypatch) -> None:
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "17")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert requeue() == "job 17_3 is requeued"
    assert (job / "asked").read_text() == "requeue 17_3\n"


def test_a_refused_requeueing_is_told(job, monkeypatch) -> None:
    _scontrol(job, "echo not allowed >&2; exit 1")
    assert requeue() == "job 1234 could not be requeued (not allowed)"
    (job / "bin" / "scontrol").unlink()
    monkeypatch.setenv("PATH", str(job / "bin"))
    assert requeue().startswith("job 1234 could not be requeued ([Errno 2]")


def _trainer(environment, world_size):
    connector = SimpleNamespace(cluster_environment=environment)
    return SimpleNamespace(_accelerator_connector=connector, world_size=world_size)


def test_a_job_without_srun_does_not_wait_for_its_tasks(job, monkeypatch) -> None:
    slurm = SLURMEnvironment()
    refuse_started_by_hand(_trainer(slurm, 16))
    assert requeue_signal(_trainer(slurm, 16)) == signal.SIGUSR1
    monkeypatch.delenv("SLURM_STEP_ID")
    refuse_started_by_hand(_trainer(slurm, 1))
    refuse_started_by_hand(_trainer(LightningEnvironment(), 16))
    with pytest.raises(RecipeError, match="SLURM has 16 tasks for this run, and this process was"):
        refuse_started_by_hand(_trainer(slurm, 16))
    assert requeue_signal(_trainer(SLURMEnvironment(auto_requeue=False), 16)) is None
    assert requeue_signal(_trainer(LightningEnvironment(), 16)) is None


def test_tasks_that_cannot_be_placed_are_refused(monkeypatch) -> None:
    assert leftover_of_lightning(L.Trainer(logger=False, accelerator="cpu")) is None
    refuse_unknown_tasks()
    monkeypatch.setenv("SLURM_NTASKS", "16")
    with pytest.raises(RecipeError, match="SLURM has 16 tasks, and does not say how many"):
        refuse_unknown_tasks()
    monkeypatch.setenv("SLURM_NTASKS_PER_NODE", "8")
    refuse_unknown_tasks()
