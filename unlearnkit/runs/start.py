"""The facts of a run that are known before it trains."""

from __future__ import annotations

import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch

from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.engine.training.schedule import check_end, warmup_steps
from unlearnkit.engine.training.slices import TRUE
from unlearnkit.models.load import Policy
from unlearnkit.module import UnlearningModule


@dataclass(frozen=True)
class Batches:
    """Rows and steps, as they stand under ``batches`` in ``environment.json``."""

    processes: int
    batch_size: int
    """Rows of the anchor stream in a micro-batch of one process."""
    accumulate: int
    effective_batch: int
    """Rows of the anchor stream in an optimiser step: no more than it has."""
    rows_per_step: dict[str, int]
    """Rows of each stream that is trained on, over all processes; a short last step has fewer."""
    micro_batches_per_epoch: int
    steps_per_epoch: int
    total_steps: int | None
    """Optimiser steps of the whole fit; None if only the clock bounds it."""
    warmup_steps: int

    @classmethod
    def of(
        cls, module: UnlearningModule, data: UnlearningDataModule, trainer: L.Trainer
    ) -> Batches:
        """The numbers of a fit.

        Raises:
            RecipeError: If micro-batches per step change as the fit goes, or the schedule needs
                an end and the fit has none.
        """
        plan = data.plan_for(trainer)
        steps = plan.updates(trainer.max_epochs, trainer.max_steps)
        check_end(module.schedule, module.warmup, steps)
        rows = {
            name: plan.rows_per_update(name) for name in plan.streams if name in module.streams_read
        }
        return cls(
            processes=plan.world,
            batch_size=plan.streams[plan.anchor].batch_size,
            accumulate=plan.accumulate,
            effective_batch=plan.rows_per_update(plan.anchor),
            rows_per_step=rows,
            micro_batches_per_epoch=plan.steps_per_epoch,
            steps_per_epoch=plan.updates_per_epoch,
            total_steps=steps,
            warmup_steps=warmup_steps(module.warmup, steps or 0),
        )


@dataclass(frozen=True)
class Term:
    """One objective of the total."""

    objective: str
    weight: float
    streams: tuple[str, ...]


@dataclass(frozen=True)
class Start:
    """What a run trains, how, and for how long."""

    model: str
    parameters: int
    trained: int
    """Parameters that get a gradient."""
    reference: str | None
    """How the model at the start is kept; None if no objective reads it."""
    layout: str
    layout_reason: str
    attention: str | None
    """The kernel of packed rows."""
    objectives: dict[str, Term]
    rows: dict[str, int]
    """Rows of each stream."""
    cut: dict[str, str]
    """What the maximal length took away, of each stream that lost something."""
    schedule: str
    batches: Batches
    strategy: str
    precision: str
    dtype: str
    """Type of the policy's weights."""
    device: str
    folder: Path
    ckpt_path: str | None
    """The checkpoint that the run continues from."""

    @classmethod
    def of(
        cls,
        module: UnlearningModule,
        data: UnlearningDataModule,
        batches: Batches,
        trainer: L.Trainer,
        folder: Path,
        ckpt_path: str | None = None,
    ) -> Start:
        """The facts of a module whose model is built."""
        trained, parameters = _sizes(module.policy)
        strategy = trainer.strategy
        return cls(
            model=str(getattr(module.base, "path", module.base)),
            parameters=parameters,
            trained=trained,
            reference=module.reference_kind if "reference" in module.needs else None,
            layout=module.layout,
            layout_reason=module.layout_reason,
            attention=module.attention if module.layout == "packed" else None,
            objectives={
                key: Term(each.registered_name or type(each).__name__, each.weight, each.streams)
                for key, each in module.active.items()
            },
            rows={name: len(each) for name, each in data.data.items()},
            cut={name: str(cut) for name, each in data.data.items() if (cut := each.cuts())},
            schedule=module.schedule,
            batches=batches,
            strategy=getattr(strategy, "strategy_name", None) or type(strategy).__name__,
            precision=str(trainer.precision),
            # Lightning gives all weights the type of a true precision when the fit begins.
            dtype=str(TRUE.get(str(trainer.precision), module.policy.dtype)).removeprefix("torch."),
            device=str(strategy.root_device),
            folder=folder,
            ckpt_path=ckpt_path,
        )

    @property
    def emulated(self) -> bool:
        """Whether it is in bfloat16, and the processor has no instructions for that."""
        asked = self.dtype == "bfloat16" or self.precision.startswith("bf16")
        known = platform.machine() in ("x86_64", "AMD64")  # others were not measured
        if not (asked and known and self.device.startswith("cpu")):
            return False
        # A probe of oneDNN, which computes linear layers on a CPU; torch has no public one.
        probe = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
        return probe is not None and not probe()

    def as_json(self) -> dict[str, Any]:
        """The keys of ``environment.json`` that are its own: ``training`` and ``batches``."""
        facts = asdict(self)
        # The file lies in the folder, and has model and rows with their fingerprints.
        for key in ("model", "rows", "cut", "folder"):
            del facts[key]
        return {"batches": facts.pop("batches"), "training": facts}


def _sizes(policy: Policy) -> tuple[int, int]:
    """Trained parameters and all; weights in 4 bits count one by one, not by their bytes."""
    of_adapter = getattr(policy, "get_nb_trainable_parameters", None)
    if of_adapter is not None:
        return of_adapter()
    return policy.num_parameters(only_trainable=True), policy.num_parameters()
