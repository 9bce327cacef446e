"""Starts and requeues jobs of SLURM."""

from __future__ import annotations

import os
import subprocess

import lightning as L
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

from unlearnkit.errors import RecipeError

STEP = ("SLURM_STEP_ID", "SLURM_STEPID")
"""What srun tells the processes that it starts, and sbatch does not tell its script."""
_SECONDS = 60.0


def requeue_signal(trainer: L.Trainer) -> int | None:
    """The signal by which SLURM asks for a checkpoint and a place in the queue; None elsewhere."""
    environment = trainer._accelerator_connector.cluster_environment
    if not isinstance(environment, SLURMEnvironment) or not environment.auto_requeue:
        return None
    return environment.requeue_signal


def requeue() -> str:
    """Puts this job back into the queue, on the first process; says what became of it."""
    job = os.environ.get("SLURM_JOB_ID", "")
    if array := os.environ.get("SLURM_ARRAY_JOB_ID"):
        job = f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '')}"
    try:
        done = subprocess.run(
            ["scontrol", "requeue", job], capture_output=True, text=True, timeout=_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"job {job} could not be requeued ({error})"
    if done.returncode:
        said = done.stderr.strip() or f"scontrol ended with {done.returncode}"
        return f"job {job} could not be requeued ({said})"
    return f"job {job} is requeued"


def refuse_started_by_hand(trainer: L.Trainer) -> None:
    """Refuses to wait for tasks that nobody starts.

    Raises:
        RecipeError: If SLURM has several tasks for the run, and srun did not start this process.
    """
    environment = trainer._accelerator_connector.cluster_environment
    alone = trainer.world_size < 2 or any(each in os.environ for each in STEP)
    if isinstance(environment, SLURMEnvironment) and not alone:
        raise RecipeError(
            f"SLURM has {trainer.world_size} tasks for this run, and this process was not started "
            "by srun: it would wait for the others for ever",
            hint="Write srun before the command.",
        )


def refuse_unknown_tasks() -> None:
    """Refuses tasks that SLURM was not told to spread over nodes; Lightning cannot place them.

    Raises:
        RecipeError: If there are several and ``--ntasks-per-node`` is not given.
    """
    tasks = os.environ.get("SLURM_NTASKS", "1")
    interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if interactive or "TORCHELASTIC_RUN_ID" in os.environ:
        return
    if tasks.isdigit() and int(tasks) > 1 and "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise RecipeError(
            f"SLURM has {tasks} tasks, and does not say how many are on a node",
            hint="Give --ntasks-per-node in place of --ntasks, one task for each device.",
        )


def leftover_of_lightning(trainer: L.Trainer) -> str | None:
    """The checkpoint of Lightning's own requeueing, which it would load before any other."""
    if not SLURMEnvironment.detect():
        return None
    return trainer._checkpoint_connector._hpc_resume_path
