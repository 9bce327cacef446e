"""Changes that make a run smaller, each weighed by the same formula."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from unlearnkit.cost.memory import memory_of
from unlearnkit.cost.shapes import Shapes
from unlearnkit.cost.training import BYTES, Training

RANK = 16
"""Of a proposed adapter."""


class Change(NamedTuple):
    """A setting of a recipe, and what it makes of a run."""

    setting: str
    to: Mapping[str, Any]
    costs: str
    other_method: bool = False
    """Whether something else is learned, beyond rounding."""


@dataclass(frozen=True)
class Weighed:
    """A change and its effect.

    Args:
        setting: As a recipe has it.
        costs: What it costs.
        peak: Bytes at the peak with this change alone.
        saves: Bytes that it saves.
        other_method: Whether something else is learned.
    """

    setting: str
    costs: str
    peak: float
    saves: float
    other_method: bool


def weighed(shapes: Shapes, run: Training) -> list[Weighed]:
    """All changes that save memory, each alone."""
    now = memory_of(shapes, run).peak
    found: list[Weighed] = []
    for change in _changes(run):
        peak = memory_of(shapes, replace(run, **change.to)).peak
        if peak < now:
            kept = (change.setting, change.costs, peak, now - peak, change.other_method)
            found.append(Weighed(*kept))
    return found


def enough(shapes: Shapes, run: Training, room: float) -> tuple[list[str], float] | None:
    """The first changes that fit together in some room; None if all together do not.

    They are taken in the order in which they cost least. Another method is the last resort.

    Args:
        shapes: The model.
        run: How it is trained now.
        room: In bytes.

    Returns:
        Their settings, and the bytes at the peak with all of them.
    """
    settings: list[str] = []
    for other_method in (False, True):
        again = True
        while again:
            again = False
            for change in _changes(run):
                if change.other_method is not other_method:
                    continue
                changed = replace(run, **change.to)
                peak = memory_of(shapes, changed).peak
                if peak >= memory_of(shapes, run).peak:
                    continue
                run, again = changed, True
                # The same setting again is its last value.
                key = change.setting.partition(":")[0]
                settings = [s for s in settings if s.partition(":")[0] != key] + [change.setting]
                if peak <= room:
                    return settings, peak
    return None


def _changes(run: Training) -> Iterator[Change]:
    """What could be changed in a run, beginning with what costs least."""
    sharded = run.shards > 1
    if run.every != 1:
        yield Change(
            "model.gradient_checkpointing: true", {"every": 1}, "a forward pass more",
        )  # fmt: skip
    if run.replicas > 1 and not run.quantization:
        to = {"shards": run.shards * run.replicas, "replicas": 1}
        yield Change("trainer.strategy: fsdp2", to, "weights are sent in each pass")
    half = {"tokens": -(-run.tokens // 2), "responses": -(-run.predicted // 2)}
    if run.tokens >= 512:
        setting = f"model.max_tokens_per_micro_batch: {half['tokens']}"
        costs = "weights sent for each part" if sharded else "little"
        yield Change(setting, {**half, "parts": True}, costs)
    if run.reference == "frozen":
        yield Change("model.reference: cached", {"reference": "cached"}, "a pass before, disk")
    if run.reference == "frozen" and BYTES[run.reference_weights or run.weights] > 2:
        setting = "model.reference_dtype: bfloat16"
        yield Change(setting, {"reference_weights": "bfloat16"}, "rounding of the reference")
    if not sharded and run.optimizer in ("adam", "adamw"):
        to = {"optimizer": f"{run.optimizer}_8bit", "states": None, "step": "fused"}
        setting = f"model.optimizer.name: {run.optimizer}_8bit"
        yield Change(setting, to, "rounding of the states; an extra")
    if run.every and not run.offload:
        yield Change(
            "model.gradient_checkpointing: {offload: true}", {"offload": True},
            "two copies a block to main memory",
        )  # fmt: skip
    if run.weights == "float32" and not run.quantization:
        to = {"weights": "bfloat16", "autocast": None, "adapter_weights": "bfloat16"}
        yield Change("trainer.precision: bf16-true", to, "rounding of small updates")
    kept = {"reference": run.reference and "adapter_off", "reference_weights": None}
    if run.rank is None:
        single = {"weights": "bfloat16", "rank": RANK, "trained": None, "adapter": None}
        types = {"autocast": "bfloat16", "adapter_weights": "float32"}
        setting = f"model.lora: {{r: {RANK}, target_modules: all-linear}}, bfloat16 base"
        yield Change(setting, {**single, **types, **kept}, "only an adapter learns", True)
    elif run.quantization is None and not sharded:
        to = {"weights": "bfloat16", "autocast": "bfloat16", "quantization": "4bit", **kept}
        yield Change("model.base.quantization: 4bit", to, "the base is rounded to NF4", True)
