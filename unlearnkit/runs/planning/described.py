"""Describes a recipe's run by what its memory and time follow from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any, NamedTuple

import lightning as L
import torch
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.strategies import DDPStrategy
from torch import nn

from unlearnkit.cost.gpus import Machine
from unlearnkit.cost.memory import Memory, memory_of
from unlearnkit.cost.shapes import Shapes, shapes_of
from unlearnkit.cost.training import Training
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.plan import StepPlan
from unlearnkit.engine.step.checkpointing import Checkpointing
from unlearnkit.engine.step.head import memory_of as memory_of_device
from unlearnkit.engine.step.layout import declared_refusal
from unlearnkit.engine.step.token_weights import reads_distributions
from unlearnkit.engine.training.freezing import restrict
from unlearnkit.engine.training.fsdp2 import is_sharded
from unlearnkit.errors import RecipeError
from unlearnkit.models.base import as_base_model
from unlearnkit.models.counted import adapter_weights, model_on_no_device
from unlearnkit.module import UnlearningModule
from unlearnkit.runs.planning.part_sizes import Size, answers_of, sizes_of

_HALF = {"bf16-true": "bfloat16", "16-true": "float16"}
_MIXED = {"bf16-mixed": "bfloat16", "16-mixed": "float16"}
_NAMED = ("bitsandbytes", "torchao")
"""Packages whose optimizers are known by name; of others a step is taken and its state counted."""


@dataclass(frozen=True)
class Described:
    """A run of a recipe on a machine.

    Args:
        shapes: Of the model, with its weights counted.
        run: How it is trained.
        machine: Where.
        parts: Parts of a step on one GPU, on average, over its micro-batches.
        typical: ``run`` with the tokens of a part on average, for the time.
        context: Tokens that a query attends to, on average.
        rows: Rows of each stream.
        answers: Response tokens of one pass over all streams whose reference is read.
        steps: Optimiser steps; None if only the clock bounds them.
        notes: What was supposed.
    """

    shapes: Shapes
    run: Training
    machine: Machine
    parts: float
    typical: Training
    context: float
    rows: Mapping[str, int]
    answers: int
    steps: int | None
    notes: tuple[str, ...]


class _Read(NamedTuple):
    """What config and rows say of a run on any device of one kind."""

    shapes: Shapes
    run: Training
    plan: StepPlan
    data: UnlearningDataModule
    parts: list[list[Size]]
    notes: list[str]


def describe(
    module: UnlearningModule, data: UnlearningDataModule, trainer: L.Trainer, machine: Machine
) -> Described:
    """Reads rows and config; no weights are read.

    Raises:
        DataError: With all bad rows.
        RecipeError: If the model is none whose weights can be counted.
    """
    shapes, run, plan, data, parts, notes = _read(module, data, trainer, "cuda")
    run = _with_room(shapes, run, machine.gpu.bytes)
    flat = [each for part in parts for each in part]
    tokens, responses = fmean(e.tokens for e in flat), fmean(e.responses for e in flat)
    return Described(
        shapes, run, machine,
        parts=fmean(map(len, parts)) * plan.accumulate,
        typical=replace(run, tokens=round(tokens), responses=round(responses)),
        context=sum(each.attended for each in flat) / sum(each.tokens for each in flat),
        rows={name: len(each) for name, each in data.data.items()},
        answers=sum(
            answers_of(each) for name, each in data.data.items() if name in module.streams_referred
        ),
        steps=plan.updates(trainer.max_epochs, trainer.max_steps),
        notes=tuple(notes),
    )  # fmt: skip


def memory_here(
    module: UnlearningModule, data: UnlearningDataModule, trainer: L.Trainer
) -> tuple[Memory, list[str]]:
    """Memory of one process on the device of the recipe's own trainer, and what was supposed.

    Raises:
        DataError: With all bad rows.
        RecipeError: If the model is none whose weights can be counted, or no row is there yet.
    """
    on_gpu = isinstance(trainer.accelerator, CUDAAccelerator)
    found = _read(module, data, trainer, "cuda" if on_gpu else "cpu")
    if on_gpu:
        whole = torch.cuda.get_device_properties(0).total_memory
        run = _with_room(found.shapes, found.run, whole)
    else:
        run = replace(found.run, memory=memory_of_device(torch.device("cpu")))
    return memory_of(found.shapes, run), found.notes


def _read(
    module: UnlearningModule, data: UnlearningDataModule, trainer: L.Trainer, device: str
) -> _Read:
    notes: list[str] = []
    model = model_on_no_device(module.base)
    shapes = shapes_of(model.config, name=str(as_base_model(module.base).path))
    shapes = replace(shapes, counted=model.num_parameters())
    refusal = declared_refusal(model)
    rows = module.layout == "rows" or (module.layout == "auto" and refusal is not None)
    data = _readable(data, notes)
    data.check()
    plan = data.plan_for(trainer)
    parts, unknown = sizes_of(module, data, plan, rows)
    flat = [each for part in parts for each in part]
    notes += [f"the layout is {'rows' if rows else 'packed'}, by the model's class"]
    notes += [f"the answers of {name} are not drawn yet, and not counted" for name in unknown]
    notes += _left_out(module)
    run = Training(
        tokens=max(each.tokens for each in flat),
        responses=max(each.responses for each in flat),
        streams=max(1, len(module.streams_read)),
        layout="rows" if rows else "packed",
        attention="loop" if device == "cpu" else "varlen",
        keys=max(1.0, max(each.keys / each.tokens for each in flat)),
        width=max(each.width for each in flat),
        parts=module.max_tokens_per_micro_batch is not None and max(map(len, parts)) > 1,
        accumulate=plan.accumulate,
        device=device,
        **_of_module(module, str(trainer.precision), model, device),
        **_of_trainer(trainer, plan.world),
    )
    return _Read(shapes, run, plan, data, parts, notes)


def _with_room(shapes: Shapes, run: Training, whole: int) -> Training:
    """The run on a GPU of so many bytes.

    The head asks for what is free when it is used first, beside weights and reference.
    """
    there = memory_of(shapes, run).moments["in the step"]
    held = sum(there.get(name, 0.0) for name in ("weights", "adapter", "reference"))
    return replace(run, memory=max(0, int(whole - held)))


def _readable(data: UnlearningDataModule, notes: list[str]) -> UnlearningDataModule:
    """The rows with the embedded tokenizer, where the model's folder has none."""
    try:
        _ = data.tokenizer
    except RecipeError:
        notes.append("the model's folder has no tokenizer, so tokens are those of the tiny model")
        return data.with_tokenizer("tiny")
    return data


def _left_out(module: UnlearningModule) -> list[str]:
    """Settings that take memory and time which nothing here counts."""
    dropout = getattr(module.lora, "lora_dropout", 0)
    given = {
        "robust": module.robust, "lora.lora_dropout": dropout, "saliency": module.saliency,
        "compile": module.compiled,
    }  # fmt: skip
    return [f"model.{key} is not counted" for key, value in given.items() if value]


def _of_module(module: UnlearningModule, precision: str, model: Any, device: str) -> dict[str, Any]:
    """What follows from the module's arguments."""
    base = as_base_model(module.base)
    held = _HALF.get(precision) or base.dtype
    if held == "auto":
        held = str(getattr(model.config, "dtype", None) or torch.float32).removeprefix("torch.")
    needs = "reference" in module.needs
    kind = module.reference_kind if needs else None
    given = module.gradient_checkpointing
    how = given if isinstance(given, Checkpointing) else Checkpointing()
    found: dict[str, Any] = {
        "kl": bool(
            reads_distributions(o for o in module.active.values() if "reference" in o.needs)
        ),
        "weights": held,
        "autocast": _MIXED.get(precision),
        "quantization": base.quantization,
        "reference": kind,
        "reference_weights": module.reference_dtype if kind == "frozen" else None,
        "every": how.every if given else 0,
        "offload": how.offload,
        **_of_optimizer(module, device),
    }
    if module.lora is not None:
        found |= {
            "rank": module.lora.r,
            "adapter": adapter_weights(model, module.lora),
            "adapter_weights": _HALF.get(precision, "float32"),
        }
    elif module.trainable is not None:
        restrict(model, module.trainable)
        found["trained"] = model.num_parameters(only_trainable=True)
    return found


def _of_optimizer(module: UnlearningModule, device: str) -> dict[str, Any]:
    """Name and states of the optimizer, and how it steps on a device."""
    weight = nn.Parameter(torch.zeros(64, 64))
    optimizer: Any = module.make_optimizer([weight])
    kind = type(optimizer)
    name = re.sub("(?<=Paged)|(?=8bit|4bit|Fp8)", "_", kind.__name__).lower()
    if kind.__module__.startswith(_NAMED):
        return {"optimizer": name, "step": "fused"}
    weight.grad = torch.zeros_like(weight)
    try:
        optimizer.step()
        tensors = [v for v in optimizer.state[weight].values() if isinstance(v, torch.Tensor)]
        numbers = sum(t.numel() for t in tensors if t.numel() > 1) / weight.numel()
    except Exception:  # an own optimizer may want more than a step without a closure
        return {"optimizer": name, "step": "foreach"}
    group = optimizer.param_groups[0]
    plain = kind in (torch.optim.Adam, torch.optim.AdamW) and group.get("foreach") is None
    # On a CPU an optimizer of torch takes one weight after the other, unless it is told not to.
    left_open = "each" if device == "cpu" and group.get("foreach") is None else "foreach"
    step = "fused" if group.get("fused") or (plain and device != "cpu") else left_open
    return {"optimizer": name, "step": step, "states": numbers}


def _of_trainer(trainer: L.Trainer, world: int) -> dict[str, Any]:
    """How the strategy spreads the run."""
    if world == 1:
        return {}
    strategy: Any = trainer.strategy
    if is_sharded(trainer):
        copies = getattr(strategy, "replicate", 1)
        return {"shards": world // copies, "replicas": copies}
    if not isinstance(strategy, DDPStrategy):
        raise RecipeError(f"trainer.strategy: {type(strategy).__name__} is not known to the plan")
    return {"replicas": world}
