"""Stores what an inspection found, bound to its models and rows."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearnkit.data.example import Example
from unlearnkit.engine.generation.sampling import on_device
from unlearnkit.errors import UserError
from unlearnkit.files import as_json
from unlearnkit.inspection.depth import TAU, Depth, depth
from unlearnkit.inspection.lens import STEPS, Lenses, lenses
from unlearnkit.inspection.moved import Moved, moved
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model
from unlearnkit.new_files import folder_to_write, write_new
from unlearnkit.suites.parts.digest import code_fingerprint, digest, fingerprint_of

Base = str | BaseModel
_MOST_WEIGHTS = 200


@dataclass(frozen=True)
class Inspection:
    """What was found, and its file.

    Args:
        depth: By row and block.
        moved: The weights that changed, the farthest first.
        sources: File and line of each row.
        lenses: Curves of the lenses; see `lenses`.
        notes: Why a lens is left out, a sentence each.
        path: The file.
        reused: Whether it was there already.
    """

    depth: Depth
    moved: list[Moved]
    sources: list[str]
    lenses: Lenses
    notes: list[str]
    path: Path
    reused: bool = False


def inspect_and_keep(
    before: Base,
    after: Base,
    gold: Base,
    rows: Sequence[Example],
    folder: Path,
    *,
    normal: Sequence[Example] = (),
    tuned_steps: int = STEPS,
    tau: float = TAU,
    batch_size: int = 8,
    on_model: Callable[[str], None] = lambda name: None,
) -> Inspection:
    """Inspects an unlearned model, unless the folder has this very inspection already.

    Args:
        before: The model before unlearning.
        after: The unlearned model.
        gold: A model that never saw the rows.
        rows: Forget rows.
        folder: Where ``depth.json`` stands.
        normal: Rows with nothing to forget, which the tuned lens is trained on.
        tuned_steps: Steps of that training; 0 leaves the tuned lens out.
        tau: See `depth`.
        batch_size: Rows that go through the models at once.
        on_model: Called with each model's name before it is loaded.

    Raises:
        UserError: If the models do not go together, or the file cannot be written.
    """
    models = {"before": before, "after": after, "gold": gold}
    digests = {name: fingerprint_of(base) for name, base in models.items()}
    code = code_fingerprint("inspection")
    fingerprint = digest(digests, digest(rows), tau, code, digest(normal), tuned_steps)
    path = folder / "depth.json"
    if None not in digests.values() and (known := _read(path, fingerprint)) is not None:
        return known
    folder_to_write(folder)
    loaded = {}
    for name, base in models.items():
        on_model(name)
        loaded[name] = on_device(load_model(base))
    on_model("blocks")
    found = depth(
        loaded["before"], loaded["after"], loaded["gold"], rows, tau=tau, batch_size=batch_size
    )
    on_model("lenses")
    curves, notes = lenses(loaded, rows, normal, steps=tuned_steps, batch_size=batch_size)
    weights = moved(loaded["before"], loaded["after"])[:_MOST_WEIGHTS]
    sources = [each.source for each in rows]
    made = {
        "fingerprint": fingerprint,
        "models": digests,
        "tau": tau,
        "score": found.score,
        "sentence": found.sentence,
        "by_block": found.by_block,
        "rows": [
            {"source": source, "score": score, "gold": g, "after": a, "lost": lost}
            for source, score, g, a, lost in zip(
                sources, found.scores, found.gold, found.after, found.lost, strict=True
            )
        ],
        "lenses": curves,
        "notes": notes,
        "moved": [each._asdict() for each in weights],
    }
    file = write_new(path, as_json(made) + "\n")
    return Inspection(found, weights, sources, curves, notes, file)


def _read(path: Path, fingerprint: str) -> Inspection | None:
    for each in sorted(path.parent.glob("depth*.json")) if path.parent.is_dir() else ():
        try:
            found: dict[str, Any] = json.loads(each.read_text(encoding="utf-8"))
            if found["fingerprint"] != fingerprint:
                continue
            rows = found["rows"]
            gold, after, lost = ([row[key] for row in rows] for key in ("gold", "after", "lost"))
            values = Depth(gold, after, lost, found["tau"])
            weights = [Moved(**each) for each in found["moved"]]
            curves, sources = found["lenses"], [row["source"] for row in rows]
            return Inspection(values, weights, sources, curves, found["notes"], each, reused=True)
        except (OSError, ValueError, KeyError, TypeError):
            continue
    return None


def read_inspection(path: Path) -> dict[str, Any] | None:
    """What stands in an inspection's file; None if it is none.

    Args:
        path: The file.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        shapes = {(len(row["gold"]), len(row["after"])) for row in found["rows"]}
        blocks = len(found["by_block"])
        numbers = [found["tau"], *(x for row in found["rows"] for x in row["gold"] + row["after"])]
        texts = [found["sentence"], *(row["source"] for row in found["rows"])]
        whole = (
            shapes == {(blocks, blocks)}
            and all(math.isfinite(each) for each in numbers)
            and all(isinstance(each, str) for each in texts)
            and "after" in found["models"]
            and "score" in found
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if whole else None


def refuse_no_gold(gold: Any) -> None:
    """Refuses to inspect without a gold model.

    Raises:
        UserError: If there is none.
    """
    if gold is None:
        raise UserError(
            "without a gold model nobody knows which blocks carry the rows.",
            title="inspection",
            hint="Give --gold FOLDER, a model that never saw the forget set.",
        )
