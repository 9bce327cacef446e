"""Plan of a run: memory, disk, time, and changes that fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import lightning as L

from unlearnkit.cost.gpus import LARGEST_SHARE, Machine
from unlearnkit.cost.memory import Memory, gradients_of, held, memory_of
from unlearnkit.cost.proposals import Weighed, enough, weighed
from unlearnkit.cost.training import BYTES
from unlearnkit.cost.work import OF_BANDWIDTH, OF_PEAK, work_of
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.engine.training.apart import measures_apart
from unlearnkit.module import UnlearningModule
from unlearnkit.runs.planning.described import Described, describe
from unlearnkit.suites.base import Suite

PER_BLOCK = 0.7e-3
"""Seconds that the host takes to start one decoder block of a generated token."""


@dataclass(frozen=True)
class Plan:
    """What a run needs of a machine.

    Args:
        described: The run.
        memory: Of one GPU.
        host: Main memory of a node, in bytes by term.
        disk: In bytes by term.
        step: Seconds of an optimiser step by kind of work, were each alone.
        evaluation: Seconds of one evaluation by suite; None where the suite says too little.
        models: Models that the suites run on.
        apart: Whether each process holds a part of them.
        changes: What would save memory.
        fitting: Changes that make it fit together, and the peak with them; None if nothing does,
            or nothing is needed.
    """

    described: Described
    memory: Memory
    host: Mapping[str, float]
    disk: Mapping[str, float]
    step: Mapping[str, float]
    evaluation: Mapping[str, float | None]
    models: int
    apart: bool
    changes: Sequence[Weighed]
    fitting: tuple[list[str], float] | None

    @property
    def fits(self) -> bool:
        """Whether the peak is within the largest share of a GPU's memory."""
        return self.memory.peak <= self.described.machine.gpu.room

    @property
    def evaluated(self) -> float:
        """Bytes of a model that one GPU holds while suites run: all of it, or its part."""
        of = self.described
        if not self.evaluation:
            return 0.0
        whole = held(of.shapes, of.run)
        gathered = self.memory.terms.get("gathers of fsdp2", 0.0)
        return whole / of.run.shards + gathered if self.apart else whole

    @property
    def step_seconds(self) -> float:
        """Seconds of an optimiser step: of the work that takes longest, the rest beside it."""
        return max(self.step.values())

    @property
    def seconds(self) -> float | None:
        """Seconds of all optimiser steps."""
        steps = self.described.steps
        return None if steps is None else steps * self.step_seconds

    def as_json(self) -> dict[str, Any]:
        """All figures as JSON types; sizes in bytes, times in seconds."""
        of, gpu = self.described, self.described.machine.gpu
        return {
            "gpu": {**asdict(gpu), "per_node": of.machine.each, "nodes": of.machine.nodes},
            "model": {"weights": of.shapes.weights, **asdict(of.shapes)},
            "run": asdict(of.run),
            "notes": list(of.notes),
            "memory": {
                "peak": self.memory.peak, "moment": self.memory.moment,
                "terms": dict(self.memory.terms), "room": gpu.room, "fits": self.fits,
                "largest_share": LARGEST_SHARE,
            },
            "host": dict(self.host),
            "disk": dict(self.disk),
            "time": {
                "step": self.step_seconds, "by_work": dict(self.step), "steps": of.steps,
                "training": self.seconds, "of_peak": OF_PEAK, "of_bandwidth": OF_BANDWIDTH,
                "evaluation": dict(self.evaluation), "evaluated_models": self.models,
                "evaluation_holds": self.evaluated,
            },
            "changes": [asdict(change) for change in self.changes],
            "fitting": self.fitting and {"settings": self.fitting[0], "peak": self.fitting[1]},
            "basis": "reasoned",
        }  # fmt: skip


def plan_run(
    module: UnlearningModule,
    data: UnlearningDataModule,
    trainer: L.Trainer,
    machine: Machine,
    suites: Sequence[Suite] = (),
    gold: str | None = None,
) -> Plan:
    """Plans a run without its weights.

    Args:
        module: Of the recipe.
        data: Of the recipe.
        trainer: Of the recipe, with as many processes as the machine has GPUs.
        machine: The GPUs.
        suites: What is run before and after.
        gold: A model that they are run on too.

    Raises:
        DataError: With all bad rows.
        RecipeError: If the model is none whose weights can be counted.
    """
    of = describe(module, data, trainer, machine)
    memory = memory_of(of.shapes, of.run)
    room = machine.gpu.room
    return Plan(
        of, memory, _host(of, memory), _disk(of),
        work_of(of.shapes, of.typical, of.parts, of.context).seconds(of.typical, machine),
        {suite.name: _evaluation(of, suite) for suite in suites},
        (2 + (gold is not None)) * bool(suites),
        measures_apart(trainer),
        weighed(of.shapes, of.run),
        None if memory.peak <= room else enough(of.shapes, of.run, room),
    )  # fmt: skip


def _host(of: Described, memory: Memory) -> dict[str, float]:
    """Main memory of a node while the model is loaded, and what waits there."""
    run = of.run
    each = max(1, run.shards * run.replicas // of.machine.nodes)
    # Quantised weights are made of whole ones, one file after the other.
    model = of.shapes.weights * BYTES[run.weights]
    frozen = of.shapes.weights * BYTES[run.reference_weights or run.weights]
    waiting = sum(memory.host.values())
    states = run.state_bytes(gradients_of(of.shapes, run)) if run.paged else 0.0
    return {
        "the model, read by each process": each * model,
        "a frozen reference": each * frozen if run.reference == "frozen" else 0.0,
        "inputs of recomputed blocks": each * waiting,
        "paged states, where a GPU is full": each * states,
    }


def _disk(of: Described) -> dict[str, float]:
    """Bytes of a run folder."""
    run, trained = of.run, gradients_of(of.shapes, of.run)
    whole = of.shapes.weights * BYTES[run.weights]
    number = BYTES[run.weights if run.rank is None else run.adapter_weights]
    states = run.state_bytes(trained / number)
    width = of.shapes.hidden * BYTES[run.weights] if run.kl else 0.0
    return {
        "model or adapter": whole if run.rank is None else trained,
        "one checkpoint": trained + states,
        "a second one while it is written": trained + states,
        "export with the adapter merged": whole if run.rank is not None else 0.0,
        "values of a cached reference": of.answers * (4 + width) * (run.reference == "cached"),
    }


def _evaluation(of: Described, suite: Any) -> float | None:
    """Seconds in which a suite's answers are generated by one GPU; None where it names no length.

    Each token reads all weights, or waits for the host to start its blocks.
    """
    tokens = getattr(suite, "max_new_tokens", None)
    if not isinstance(tokens, int):
        return None
    limit = getattr(suite, "limit", None)
    rows = [min(each, limit or each) for each in of.rows.values()]
    batches = sum(-(-each // 32) for each in rows)
    reads = held(of.shapes, of.run) / (OF_BANDWIDTH * of.machine.gpu.bandwidth * 1e9)
    return batches * tokens * max(reads, PER_BLOCK * of.shapes.layers)
