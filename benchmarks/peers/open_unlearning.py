"""Losses of a checkout of open-unlearning.

Its losses are methods of subclasses of the Trainer of transformers. The classes are imported from
the folder and made as it makes them, save for the logging; only their ``compute_loss`` is called.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from transformers import PreTrainedModel, TrainingArguments

from benchmarks.peers.rows import Frame, StepRows, Workload
from benchmarks.peers.sides import Objectives, Side
from benchmarks.variants import padded

FRAME = Frame()
UNUSED = ("omegaconf", "deepspeed")
"""Imported by its package, for configuration and ZeRO; no loss calls them on one process."""


class Pairing(NamedTuple):
    """One of its losses, and ours of the same name in papers."""

    module: str
    cls: str
    arguments: Mapping[str, Any]
    ours: Objectives


_NLL: Mapping[str, Any] = {"name": "retain_nll"}
_ASCENT: Mapping[str, Any] = {"name": "gradient_ascent"}
LOSSES = {
    "GradAscent": Pairing("grad_ascent", "GradAscent", {}, {"forget": _ASCENT}),
    "GradDiff": Pairing("grad_diff", "GradDiff", {}, {"forget": _ASCENT, "retain": _NLL}),
    "GradDiff-KL": Pairing(
        "grad_diff",
        "GradDiff",
        {"retain_loss_type": "KL"},
        {"forget": _ASCENT, "retain": {"name": "retain_kl"}},
    ),
    "NPO": Pairing(
        "npo",
        "NPO",
        {"beta": 0.1},
        {"forget": {"name": "npo", "beta": 0.1}, "retain": _NLL},
    ),
    "SimNPO": Pairing(
        "simnpo",
        "SimNPO",
        {"beta": 4.5, "delta": 0.0, "gamma": 0.125},
        {"forget": {"name": "simnpo", "beta": 4.5, "weight": 0.125}, "retain": _NLL},
    ),
}


def theirs(folder: Path, loss: str, model: PreTrainedModel, workload: Workload) -> Side:
    """A loss of the checkout.

    Raises:
        ImportError: If the checkout needs a package that is not there.
    """
    trainer = trainer_of(folder, loss, model)

    def prepare(rows: StepRows) -> dict[str, dict[str, Any]]:
        named = {name: padded(rows.streams[name].examples) for name in ("forget", "retain")}
        keys = ("input_ids", "attention_mask", "labels")
        return {name: dict(zip(keys, batch, strict=True)) for name, batch in named.items()}

    return Side(prepare, lambda inputs: trainer.compute_loss(model, inputs))


def trainer_of(folder: Path, loss: str, model: PreTrainedModel, use_cpu: bool = True) -> Any:
    """The trainer of the checkout whose ``compute_loss`` is a loss.

    Raises:
        ImportError: If the checkout needs a package that is not there.
    """
    return made(folder, LOSSES[loss], model, use_cpu)


def made(folder: Path, pairing: Pairing, model: PreTrainedModel, use_cpu: bool = True) -> Any:
    """The trainer of a pairing, for a model.

    Raises:
        ImportError: If the checkout needs a package that is not there.
    """
    cls = _trainer_class(folder, pairing)
    arguments = TrainingArguments(tempfile.mkdtemp(), use_cpu=use_cpu, report_to=[])
    return cls(model=model, args=arguments, **pairing.arguments)


def _trainer_class(folder: Path, pairing: Pairing) -> Any:
    sys.path.insert(0, str(folder / "src"))
    try:
        with _standing_in(name for name in UNUSED if find_spec(name) is None):
            module = importlib.import_module(f"trainer.unlearn.{pairing.module}")
    finally:
        sys.path.pop(0)
    return getattr(module, pairing.cls)


class _Absent(ModuleType):
    """Has every name as a class without instances: whatever is called fails."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(*_: Any, **__: Any) -> None:
            raise ImportError(f"{self.__name__} is not installed, so there is no {name}")

        return type(name, (), {"__new__": refuse})


@contextmanager
def _standing_in(names: Iterator[str]) -> Iterator[None]:
    absent = {name: _Absent(name) for name in names}
    sys.modules.update(absent)
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]
