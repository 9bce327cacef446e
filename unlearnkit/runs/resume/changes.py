"""Compares what a checkpoint was made with to a run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from unlearnkit.plain import leaves, load_yaml
from unlearnkit.runs.resume.record import MEASURING, PACKAGE, WATCHING, MadeWith

Resolve = Callable[[Mapping[str, Any]], dict[str, Any]]
"""Gives a recipe of an earlier version as this one writes it."""

FREE = (
    "run_dir", "evaluate", "gold", "data.num_workers",
    "trainer.accelerator", "trainer.devices", "trainer.num_nodes", "trainer.strategy",
    "trainer.logger", "trainer.log_every_n_steps", "trainer.max_time", "trainer.profiler",
    "trainer.default_root_dir", "trainer.enable_checkpointing",
    "trainer.enable_progress_bar", "trainer.enable_model_summary",
)  # fmt: skip
"""Keys that do not decide about the weights of a step."""
LENGTH = ("trainer.max_steps", "trainer.max_epochs")
"""Keys that say how long a run trains."""
ABSENT = "not there"


class Change(NamedTuple):
    """One value that a checkpoint was made with, and the one that is given now."""

    key: str
    then: Any
    now: Any

    def __str__(self) -> str:
        """In words."""
        return f"{self.key}: {_shown(self.then)} is now {_shown(self.now)}"


@dataclass(frozen=True)
class Changes:
    """All that differs.

    Args:
        refused: What would make other weights.
        free: What may change.
        versions: Other versions of this package and of libraries.
        parts: Own code that only one of both has; where it decides about steps, so do settings.
    """

    refused: list[Change]
    free: list[Change]
    versions: list[Change]
    parts: list[Change]


def compare(then: MadeWith, now: MadeWith, resolve: Resolve) -> Changes:
    """Compares what a checkpoint was made with, and what a run is given.

    Args:
        then: The checkpoint's record.
        now: The run's.
        resolve: Makes a recipe of an earlier version comparable.
    """
    old, new = _settings(then, now, resolve)
    refused: list[Change] = []
    free: list[Change] = []
    for change in _differing(old, new):
        inside = any(change.key == key or change.key.startswith(f"{key}.") for key in FREE)
        (free if inside or _only_longer(change.key, then, now, new) else refused).append(change)
    refused += _differing(_files(then), _files(now))
    versions = [*_differing(then.versions, now.versions)]
    parts: list[Change] = []
    for change in _differing(then.code, now.code):
        named = change._replace(key=f"code of {change.key}")
        if change.key == PACKAGE:
            versions.append(named)
        elif change.key.startswith(f"{MEASURING} "):
            free.append(named)
        else:
            both = change.key in then.code and change.key in now.code
            (refused if both else parts).append(named)
    return Changes(refused, free, versions, parts)


def _settings(
    then: MadeWith, now: MadeWith, resolve: Resolve
) -> tuple[dict[str, Any], dict[str, Any]]:
    if not (then.recipe and now.recipe):
        return then.settings, now.settings
    new = _without_watching(load_yaml(now.recipe) or {})
    if then.recipe == now.recipe:
        return new, new
    return _without_watching(resolve(load_yaml(then.recipe) or {})), new


def _without_watching(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of a recipe, without what comes after the training and callbacks that watch it."""
    trainer = dict(recipe.get("trainer") or {})
    callbacks = trainer.pop("callbacks", None) or []
    callbacks = callbacks if isinstance(callbacks, list) else [callbacks]
    kept = [each for each in callbacks if _name(each) not in WATCHING]
    before = {key: each for key, each in recipe.items() if key not in ("attack", "goals")}
    tree = {**before, "trainer": {**trainer, **({"callbacks": kept} if kept else {})}}
    return dict(leaves(tree))


def _name(callback: Any) -> str:
    """The registered name of a callback, or the last part of its class path."""
    if not isinstance(callback, Mapping):
        return str(callback)
    path = str(callback.get("name") or callback.get("class_path"))
    if path.startswith(("lightning.", "pytorch_lightning.")) or "." not in path:
        return path.rpartition(".")[2]
    return path


def _files(made: MadeWith) -> dict[str, Any]:
    """Fingerprints of what was read from files, by the keys that name the files."""
    streams = {
        f"data.streams.{name}": f"{each['rows']} rows ({each['fingerprint'] or 'drawn'})"
        for name, each in made.data.items()
    }
    read = {
        "weights or config of model.base": made.model,
        "tokenizer of model.base": made.tokenizer,
    }
    return streams | read


def _only_longer(key: str, then: MadeWith, now: MadeWith, settings: Mapping[str, Any]) -> bool:
    """Whether a change of the run's length changes no step of those that both runs take."""
    if key not in LENGTH:
        return False
    bounds = [math.inf if each.steps is None else each.steps for each in (then, now)]
    warmup = float(settings.get("model.warmup") or 0)
    of_end = settings.get("model.schedule") != "constant" or 0 < warmup < 1
    return bounds[1] == bounds[0] or (bounds[1] > bounds[0] and not of_end)


def _differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[Change]:
    for key in {**then, **now}:
        old, new = then.get(key, ABSENT), now.get(key, ABSENT)
        if old != new:
            yield Change(key, old, new)


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else repr(value)
