"""Stores attack results, each bound to what it was made from."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from unlearnkit.attacks.base import Attack, Curve, Target
from unlearnkit.attacks.quantize import torchao_version
from unlearnkit.errors import UserError
from unlearnkit.files import as_json
from unlearnkit.models.base import BaseModel
from unlearnkit.models.fingerprint import tokenizer_fingerprint
from unlearnkit.new_files import folder_to_write, write_new
from unlearnkit.suites.parts.digest import code_fingerprint, digest, fingerprint_of

Base = str | BaseModel
_CODE = ("module.py", "objectives", "attacks")


@dataclass(frozen=True)
class Result:
    """What an attack found, as it stands in its file."""

    attack: str
    settings: dict[str, Any]
    """Its options."""
    models: dict[str, str | None]
    """Digests of the models, by the names that the curves have."""
    fingerprint: str
    """Digest of everything the curves depend on."""
    inputs: dict[str, Any]
    """The digests that `fingerprint` is made of, beside those of the models."""
    created: str
    seconds: float
    curves: dict[str, Curve]
    notes: list[str] = field(default_factory=list)
    """What was cut or left out."""
    changed: dict[str, str] = field(default_factory=dict)
    """What the attacker trained of each model, if it trained any."""
    figures: dict[str, float] = field(default_factory=dict)
    """What the curves say together."""


class Kept(NamedTuple):
    """An attack, its file, and whether that was there already."""

    attack: Result
    path: Path
    reused: bool


def attack_and_keep(
    attack: Attack,
    target: Target,
    models: Mapping[str, Base],
    folder: Path,
    *,
    out: Path | None = None,
    on_model: Callable[[str], None] = lambda name: None,
) -> Kept:
    """Runs an attack on each model, unless a file has this very attack already.

    An attack of the same kind with other options, rows, models or code gets a file of its own:
    ``relearn.json``, ``relearn-2.json`` and so on.

    Args:
        attack: The attack.
        target: What it tries to bring back.
        models: What is attacked, by name.
        folder: Where its files are.
        out: A file in place of those in the folder.
        on_model: Called with each model's name before it is attacked.

    Raises:
        UserError: If ``out`` is a file of anything else, or its folder cannot be made.
    """
    kind = attack.registered_name or type(attack).__name__
    settings, rows = attack.settings, attack.prepare(target)
    inputs = {
        "rows": digest(rows),
        "tokenizer": tokenizer_fingerprint(target.tokenizer),
        "max_length": target.context.max_length,
        "code": digest(code_fingerprint(*_CODE), version("lightning"), torchao_version()),
    }
    digests = {name: fingerprint_of(base) for name, base in models.items()}
    fingerprint = digest(kind, settings, digests, inputs)
    # None stands for a model on the hub that may be another one by now.
    known = None if None in digests.values() else fingerprint
    for path in sorted(folder.glob(f"{kind}*.json")) if out is None else [out]:
        found = read_attack(path)
        if found is not None and known is not None and found.fingerprint == known:
            return Kept(found, path, reused=True)
    if out is not None and out.exists():
        raise UserError(f"--out: {out} exists and is not overwritten.", hint="Name another file.")
    place = out or folder / f"{kind}.json"
    folder_to_write(place.parent)
    started = time.monotonic()
    curves: dict[str, Curve] = {}
    for name, base in models.items():
        on_model(name)
        curves[name] = attack.run(base, rows, target)
    result = Result(
        attack=kind,
        settings=settings,
        models=digests,
        fingerprint=fingerprint,
        inputs=inputs,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - started, 2),
        curves=curves,
        notes=attack.notes(rows, target),
        changed={n: what for n, base in models.items() if (what := attack.changes(base))},
        figures=attack.figures(curves),
    )
    return Kept(result, write_new(place, as_json(asdict(result)) + "\n"), reused=False)


def read_attack(path: Path) -> Result | None:
    """The attack of a file, or None if it is not one."""
    try:
        found = Result(**json.loads(path.read_text(encoding="utf-8")))
        found = replace(found, curves=_by_new_names(found.curves))
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    mappings = (found.settings, found.models, found.curves)
    if not all(isinstance(each, dict) for each in mappings) or not found.curves:
        return None
    known = all(isinstance(each, str) for each in (found.attack, found.created))
    return found if known and all(map(_is_curve, found.curves.values())) else None


def _by_new_names(curves: dict[str, Curve]) -> dict[str, Curve]:
    """Earlier versions called the rows that the attacker trained on ``held``."""

    def new(name: str) -> str:
        return f"trained{name.removeprefix('held')}" if name.startswith("held/") else name

    return {
        model: [{new(name): value for name, value in point.items()} for point in curve]
        for model, curve in curves.items()
    }


def _is_curve(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(e, dict) and e for e in value)
