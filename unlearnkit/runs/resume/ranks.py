"""Has the first process of a run hash its models."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import lightning as L
from lightning.pytorch.strategies import DDPStrategy

from unlearnkit.engine.ranks import connected, found_by_first
from unlearnkit.engine.training.fsdp2 import FSDP2Strategy
from unlearnkit.hashed import DIGESTS_OF_RUN, hashed_so_far, take_hashed
from unlearnkit.models.base import BaseModel
from unlearnkit.models.check import hash_files
from unlearnkit.models.loaded import LoadedModel
from unlearnkit.runs.resume.slurm import refuse_started_by_hand


def share_digests(trainer: L.Trainer, models: Iterable[str | BaseModel | None]) -> None:
    """Has the first process read the files of models, so that the others need not.

    What is wrong with a model is left to the checks, which each process makes with the digests that
    it was told. Processes that Lightning starts itself come later, and are told by their
    environment (`hashed_for_children`). Those of strategies other than DDP and FSDP2 are not
    connected here, and hash for themselves.

    Args:
        trainer: The run's; its processes are connected, where a launcher such as torchrun has
            started all of them.
        models: The models that the run reads.

    Raises:
        RecipeError: If the others were not started, so that this one would wait in vain.
    """
    refuse_started_by_hand(trainer)
    if trainer.world_size < 2 or not (connected() or _connect(trainer.strategy)):
        return

    def hashed() -> str:
        for each in models:
            if each is not None and not isinstance(each, LoadedModel):
                hash_files(each)
        return hashed_so_far()

    take_hashed(found_by_first(hashed))


def _connect(strategy: Any) -> bool:
    """Connects the processes as Lightning will, which finds them connected and goes on.

    Until Lightning has started the others itself there is nobody to talk to, and these are told
    by their environment before they are connected.
    """
    launcher = getattr(strategy, "cluster_environment", None)
    if launcher is None or not launcher.creates_processes_externally:
        return False
    if DIGESTS_OF_RUN in os.environ:
        return False
    if type(strategy) is DDPStrategy:
        strategy.setup_environment()
    elif type(strategy) is FSDP2Strategy:
        strategy.connect_ranks()
    return connected()
