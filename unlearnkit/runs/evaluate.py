"""Evaluates any model, and stores results with what they belong to."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch

from unlearnkit.data.generated import generating
from unlearnkit.engine.generation.backends.saved import saved_as
from unlearnkit.files import write_json, write_rows
from unlearnkit.models.base import (
    BaseModel,
    as_base_model,
    load_tokenizer,
    refuse_other_tokens,
)
from unlearnkit.models.check import check_whole
from unlearnkit.models.fingerprint import tokenizer_fingerprint
from unlearnkit.models.load import load_config, load_model
from unlearnkit.new_files import folder_to_write
from unlearnkit.runs.measure import measure, name_of
from unlearnkit.runs.planning.backends import check_backend
from unlearnkit.suites.base import Suite, SuiteContext
from unlearnkit.suites.meaning import as_stored
from unlearnkit.suites.parts.bootstrap import Intervals, bootstrap
from unlearnkit.suites.parts.digest import code_fingerprint, digest, file_digest, fingerprint_of

Base = str | BaseModel
_ABSENT = "none"


@dataclass(frozen=True)
class Evaluation:
    """What a suite found of a model, as it stands in ``<suite>.json``."""

    suite: str
    model: dict[str, Any]
    fingerprint: str
    """Digest of everything the values depend on: models, data, arguments and code."""
    inputs: dict[str, Any]
    """The digests that `fingerprint` is made of."""
    created: str
    seconds: float
    values: dict[str, float | None]
    intervals: Intervals
    missing: dict[str, str]
    rows_sha256: str
    notes: list[str] = field(default_factory=list)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Role, direction and headline of each value."""
    generation: dict[str, str] = field(default_factory=dict)
    """What generated the texts: backend, package and version."""


@dataclass(frozen=True)
class Found:
    """An evaluation, its file, and whether that was there already."""

    evaluation: Evaluation
    path: Path
    reused: bool


def evaluate(
    model: Base,
    suites: Sequence[Suite],
    out: str | Path,
    *,
    context: SuiteContext | None = None,
    reference: Base | None = None,
    gold: Base | None = None,
    device: str | torch.device | None = None,
    shown: Callable[[str], AbstractContextManager[None]] = lambda suite: nullcontext(),
) -> list[Found]:
    """Runs suites on a model and writes ``<suite>.json`` and ``<suite>.rows.jsonl`` each.

    A file that is there is taken as it is only if its fingerprint and its rows are those of this
    model, data, arguments and code; else the suite runs again. So an evaluation that was
    interrupted continues with the first suite that is not done.

    Args:
        model: Folder, adapter, run folder, hub id or embedded model.
        suites: What to run.
        out: Folder of the files.
        context: Streams, seed and sizes; its reference and gold model are set here.
        reference: The model before unlearning.
        gold: The model that never saw the forget set.
        device: Where the models run; by default the GPU if there is one.
        shown: Shows the progress of a suite, given its name.

    Raises:
        DataError: With all bad rows of the suites' data, before any model is loaded.
        RecipeError: If there is no model there, or one that lacks weights, or one whose tokenizer
            gives other ids.
    """
    context = context or SuiteContext()
    tokenizer = load_tokenizer(model)
    load_config(model)
    check_whole(model)
    refuse_other_models(str(getattr(model, "path", model)), tokenizer, reference, gold)
    check_backend({"model": model, **({"gold": gold} if gold is not None else {})})
    for suite in suites:
        suite.check(tokenizer, context)
    folder = Path(out)
    shared = {
        "model": fingerprint_of(model),
        "reference": _ABSENT if reference is None else fingerprint_of(reference),
        "gold": _ABSENT if gold is None else fingerprint_of(gold),
        "tokenizer": tokenizer_fingerprint(tokenizer),
        "code": code_fingerprint(),
        "generation": generating().label,
        "settings": [
            *(context.max_length, context.max_new_tokens, context.seed),
            *(context.date, context.control_tokens),
        ],
    }
    load = _Loader(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    found: list[Found] = []
    for suite, name in zip(suites, file_names(suites), strict=True):
        inputs = {**shared, "suite": suite.fingerprint(tokenizer, context)}
        if not suite.uses_gold:
            inputs["gold"] = _ABSENT
        path = folder / f"{name}.json"
        known = _known(path, inputs)
        if known is not None:
            found.append(Found(known, path, reused=True))
            continue
        folder_to_write(folder)
        started = time.monotonic()
        compared: dict[str, Any] = {
            "reference": None if reference is None else load(reference),
            "gold": load(gold) if gold is not None and suite.uses_gold else None,
            "gold_given": gold is not None,
        }
        with shown(name):
            results = measure(load(model), tokenizer, [suite], context, **compared)
        result = results[name_of(suite)]
        write_rows(rows_file(path), result.rows)
        evaluation = Evaluation(
            suite=name,
            model={"name": str(getattr(model, "path", model)), "fingerprint": shared["model"]},
            fingerprint=digest(sorted(inputs.items())),
            inputs=inputs,
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - started, 2),
            values=dict(result.values),
            intervals=bootstrap(suite, result.rows, seed=context.seed),
            missing=result.missing,
            rows_sha256=file_digest(rows_file(path)),
            notes=result.notes,
            metrics=as_stored(suite, result.values),
            generation=generating().as_json(),
        )
        write_json(path, asdict(evaluation))
        found.append(Found(evaluation, path, reused=False))
    return found


def results_of(model: str) -> Path:
    """Where results of a model go that no run of ours made, which may be a path anywhere.

    Example:
        >>> str(results_of("../models/mine")), str(results_of("name/model"))
        ('evaluations/models/mine', 'evaluations/name/model')
    """
    parts = [part for part in Path(model).parts if part not in ("/", "..", ".", "~")]
    return Path("evaluations", *parts)


def refuse_other_models(
    name: str, tokenizer: Any, reference: Base | None = None, gold: Base | None = None
) -> None:
    """Refuses models to compare with that are not there or take the ids of the rows as other text.

    Args:
        name: The model that is evaluated.
        tokenizer: Its tokenizer.
        reference: The model before unlearning.
        gold: The model that never saw the forget set.

    Raises:
        RecipeError: If there is no model, or one that lacks weights, or with a token that has
            another id.
    """
    for key, base in (("reference", reference), ("gold", gold)):
        if base is not None:
            load_config(base)
            check_whole(base, key)
            refuse_other_tokens(
                f"{key} ({as_base_model(base).path})",
                base,
                tokenizer,
                given=name,
                hint=f"Both are given the same ids: give a {key} with the same tokenizer, or none.",
            )


def read_evaluation(path: Path) -> Evaluation | None:
    """The evaluation of a file, or None if it is not one or its rows are not those it was made of.

    Checks the file alone; `evaluate` checks whether model and data are still the same.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        read["intervals"] = {key: tuple(each) for key, each in read["intervals"].items()}
        evaluation = Evaluation(**read)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    rows = rows_file(path)
    if not rows.is_file() or file_digest(rows) != evaluation.rows_sha256:
        return None
    return evaluation


def rows_file(path: Path) -> Path:
    """Where the rows of a results file are."""
    return path.with_suffix(".rows.jsonl")


def file_names(suites: Sequence[Suite]) -> Iterator[str]:
    """A name for each suite; the second of a kind gets a number."""
    seen: dict[str, int] = {}
    for suite in suites:
        name = name_of(suite)
        seen[name] = seen.get(name, 0) + 1
        yield name if seen[name] == 1 else f"{name}-{seen[name]}"


@cache
class _Loader:
    """Loads each model once, and only when it is asked for."""

    def __init__(self, device: str | torch.device) -> None:
        self._device = device
        self._models: dict[BaseModel, Any] = {}

    def __call__(self, base: Base) -> Any:
        key = as_base_model(base)
        if key not in self._models:
            model: Any = load_model(key)
            self._models[key] = saved_as(model.to(self._device), key)
        return self._models[key]


def _known(path: Path, inputs: Mapping[str, Any]) -> Evaluation | None:
    if None in inputs.values():
        return None
    evaluation = read_evaluation(path)
    if evaluation is None or evaluation.fingerprint != digest(sorted(inputs.items())):
        return None
    return evaluation
