"""Records recipe, data, model and code of a checkpoint."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import nn

import unlearnkit
from unlearnkit.data.encoded import data_fingerprint
from unlearnkit.data.generated import HF, generating
from unlearnkit.data.streams.base import StreamData
from unlearnkit.data.streams.sampled import SampledData
from unlearnkit.files import digest_of
from unlearnkit.models.fingerprint import model_fingerprint, tokenizer_fingerprint
from unlearnkit.module import UnlearningModule
from unlearnkit.runs.facts import PACKAGES, version_of
from unlearnkit.runs.preflight import Planned
from unlearnkit.runs.resume.own import own_code

KEY = "made_with"
"""Where it stands in a checkpoint."""
PACKAGE, MEASURING = "unlearnkit", "suite or attack"
"""This package, and what begins the names of own code that measures."""
WATCHING = frozenset({
    "collapse_stop", "evaluate_every", "sample_generations",
    "DeviceStatsMonitor", "EarlyStopping", "LearningRateMonitor", "ModelCheckpoint",
    "ModelSummary", "RichModelSummary", "RichProgressBar", "TQDMProgressBar", "ThroughputMonitor",
    "Timer",
})  # fmt: skip
"""Callbacks that look, save or stop, and change no step."""
_PLAIN = (bool, int, float, str, type(None))
_OF_TRAINER = (
    "accumulate_grad_batches", "max_steps", "max_epochs", "limit_train_batches",
    "gradient_clip_val", "gradient_clip_algorithm", "precision",
)  # fmt: skip
_OF_MODULE = ("schedule", "warmup", "trainable", "max_tokens_per_micro_batch")
# What PEFT leaves as it was given; shapes are compared with the weights.
_OF_LORA = ("lora_alpha", "lora_dropout", "bias", "use_rslora", "use_dora", "init_lora_weights")
_OF_DATA = ("batch_size", "max_length", "anchor", "shuffle", "date", "control_tokens")


@dataclass(frozen=True)
class MadeWith:
    """What decides about the weights of a checkpoint, in plain values.

    Args:
        recipe: The resolved recipe; empty where a program built the run.
        settings: Values of the objects by the keys of a recipe, for runs without one.
        data: Rows and fingerprint of each stream.
        model: Fingerprint of the model at the start.
        tokenizer: Fingerprint of its tokenizer.
        versions: Versions of the packages.
        code: Digest of this package, and of each file of own code.
        steps: Optimiser steps of the whole fit; None if only the clock bounds it.
        resumed: What changed at each resumption before.
    """

    recipe: str
    settings: dict[str, Any]
    data: dict[str, dict[str, Any]]
    model: str
    tokenizer: str
    versions: dict[str, str | None]
    code: dict[str, str]
    steps: int | None
    resumed: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def of(cls, run: Planned, recipe: str, steps: int | None) -> MadeWith:
        """The record of a run whose data are read."""
        return cls(
            recipe,
            _settings(run),
            {name: _rows(each) for name, each in run.data.data.items()},
            model_fingerprint(run.module.base),
            tokenizer_fingerprint(run.data.tokenizer),
            {name: version_of(name) for name in PACKAGES},
            {
                PACKAGE: _package_digest(),
                **{f"{MEASURING} {k}": v for k, v in own_code([*run.suites, *run.attacks]).items()},
                **own_code(_parts(run)),
            },
            steps,
        )

    def history(self) -> dict[str, Any]:
        """Digests of the code, and the resumptions before; for ``environment.json``."""
        return {"code": self.code, **({"resumed": self.resumed} if self.resumed else {})}

    @classmethod
    def in_checkpoint(cls, checkpoint: dict[str, Any]) -> MadeWith | None:
        """The record that a checkpoint holds; None if an earlier version wrote it."""
        found = checkpoint.get(KEY)
        if not isinstance(found, dict):
            return None
        known = [each.name for each in fields(cls)]
        if any(name not in found for name in known):
            return None
        return cls(**{name: found[name] for name in known})

    @classmethod
    def in_environment(cls, file: Path, now: MadeWith) -> MadeWith | None:
        """What an ``environment.json`` tells of a run; recipe and settings stand elsewhere.

        Args:
            file: The file.
            now: Another run's; what the file does not tell is taken to be the same.

        Returns:
            The record, or None if there is no such file.
        """
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            data = {
                name: {
                    "rows": each["rows"],
                    # Drawn answers follow from the rest.
                    "fingerprint": each["fingerprint"] if _is_read(now, name) else None,
                }
                for name, each in found["data"].items()
            }
            model, tokenizer = found["model"]["fingerprint"], found["tokenizer"]["fingerprint"]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None
        versions, code = found.get("versions", now.versions), found.get("code", now.code)
        return cls("", {}, data, model, tokenizer, versions, code, None)


def _is_read(made: MadeWith, stream: str) -> bool:
    return made.data.get(stream, {"fingerprint": ""})["fingerprint"] is not None


class KeepMadeWith(L.Callback):
    """Puts the record of a run into its checkpoints."""

    def __init__(self, made_with: MadeWith) -> None:
        self.made_with = made_with

    def on_save_checkpoint(
        self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Adds the record."""
        checkpoint[KEY] = asdict(self.made_with)


def _rows(data: StreamData) -> dict[str, Any]:
    # Answers that are drawn follow from model, prompts and settings, and may still be to come.
    drawn = isinstance(data, SampledData)
    return {"rows": len(data), "fingerprint": None if drawn else data_fingerprint(data)}


def _settings(run: Planned) -> dict[str, Any]:
    """What the objects of a run hold, by the keys of a recipe."""
    optimizer = _optimizer(run.module)
    found: dict[str, Any] = {
        "seed_everything": run.seed,
        # Sampled answers depend on it; earlier versions had one alone.
        **({} if generating() == HF else {"generation.backend": generating().name}),
        "model.optimizer": type(optimizer).__name__,
        **{
            f"model.optimizer.{key}": _plain(value)
            for key, value in optimizer.param_groups[0].items()
            if key != "params"
        },
        **{f"model.{key}": _plain(getattr(run.module, key)) for key in _OF_MODULE},
        **{f"model.lora.{key}": _plain(getattr(run.module.lora, key, None)) for key in _OF_LORA},
        **_values_of("model.saliency", run.module.saliency),
        **_values_of("model.robust", run.module.robust),
        **{f"data.{key}": _plain(getattr(run.data, key, None)) for key in _OF_DATA},
        **{f"trainer.{key}": _plain(getattr(run.trainer, key, None)) for key in _OF_TRAINER},
    }
    if run.module.other is not None:
        found |= run.module.other.settings
    if training := sorted(name for each in _callbacks(run) if (name := _of_lightning(each))):
        found["trainer.callbacks"] = training
    for name, objective in run.module.objectives.items():
        found |= _values_of(f"model.objectives.{name}", objective)
    return found


def _values_of(key: str, part: Any) -> dict[str, Any]:
    """An object's class and its plain attributes, by keys below that of a recipe."""
    if part is None:
        return {}
    values = {
        f"{key}.{name}": value
        for name, value in vars(part).items()
        if name[0] != "_" and name != "training" and isinstance(value, _PLAIN)
    }
    return {key: type(part).__name__, **values}


def _callbacks(run: Planned) -> list[Any]:
    return run.trainer.callbacks  # pyright: ignore[reportAttributeAccessIssue]


def _of_lightning(callback: Any) -> str | None:
    """The name of a callback of Lightning that may change a step."""
    cls = type(callback)
    trains = cls.__module__.startswith("lightning.") and cls.__name__ not in WATCHING
    return cls.__name__ if trains else None


def _optimizer(module: UnlearningModule) -> torch.optim.Optimizer:
    return module.make_optimizer([nn.Parameter(torch.zeros(1))])


def _plain(value: Any) -> Any:
    """A value that loads without code, and equals itself when it is read again."""
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if type(value) in _PLAIN else str(value)


def _parts(run: Planned) -> list[Any]:
    """What decides about the steps of a run."""
    module, trainer = run.module, run.trainer
    own = [*module.objectives.values(), module.robust, module.saliency, module.other]
    parts = [*own, *run.data.streams.values(), *_callbacks(run), _optimizer(module)]
    model = getattr(module.base, "model", None)
    return [*parts, model, trainer.strategy, trainer.precision_plugin]


@cache
def _package_digest() -> str:
    """Digest of this package's sources."""
    root = Path(unlearnkit.__file__).parent
    files = sorted(root.rglob("*.py"))
    return digest_of(
        b"".join(f.relative_to(root).as_posix().encode() + f.read_bytes() for f in files)
    )
