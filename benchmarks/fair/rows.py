"""Rows that choose settings, and rows that are reported."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import unlearnkit.tiny.tofu_power

SOURCE = Path(unlearnkit.tiny.tofu_power.__file__).parent
CHOOSING, REPORTING, TRAINED = "choosing", "reporting", "trained"
"""Folders: the third wording of four forget authors; the fourth and fifth wording of the other
sixteen; and these sixteen in a wording that losses see."""

_Row = dict[str, Any]
# Friends are pairs of authors: 01 with 02, 03 with 04, and so on.
_CHOOSING = {"author01", "author02", "author03", "author04",
             "author21", "author25", "author26", "author41"}  # fmt: skip
_LIMITS = {"forget50": (40, 200), "retain": (20, 60), "neighbour": (10, 30), "holdout50": (2, 20)}


def write_rows(folder: Path) -> None:
    """Writes the three folders, each as the suite ``tofu`` reads it."""
    for kind, wording in (
        (CHOOSING, "forget50_choosing"),
        (REPORTING, "forget50_unseen"),
        (TRAINED, "forget50"),
    ):
        chosen = kind == CHOOSING
        files = {
            "forget50_perturbed": f"{wording}_perturbed",
            "retain_perturbed": "retain_perturbed",
            "neighbour_perturbed": "neighbour_perturbed",
            "holdout50": "holdout50",
        }
        for file, source in files.items():
            limit = _LIMITS[file.removesuffix("_perturbed")][0 if chosen else 1]
            _write(folder / kind / file, _of(source, chosen), limit)
        for file in ("real_authors_perturbed", "world_facts_perturbed"):
            known = list(_read(file))
            _write(folder / kind / file, known[int(not chosen) :: 2], len(known))


def write_wordings(folder: Path) -> None:
    """Writes rows to forget and to keep in the wordings of losses, and some nobody knows.

    The unknown ones are those of the choosing rows, which the report leaves out.
    """
    for name, file in (("forget", "forget50"), ("retain", "retain40")):
        rows = [
            {"question": question, "answer": answer}
            for row in _read(file)
            for question, answer in zip(
                [row["question"], *row["questions"]], [row["answer"], *row["answers"]], strict=True
            )
        ]
        _write(folder / name, rows, len(rows))
    unknown = _of("holdout50", True)
    _write(folder / "unknown", unknown, len(unknown))


def _of(file: str, chosen: bool) -> list[_Row]:
    """Rows of authors that choose, or of the others."""
    return [row for row in _read(file) if (row["id"].partition("/")[0] in _CHOOSING) == chosen]


def _read(file: str) -> Iterable[_Row]:
    text = (SOURCE / f"{file}.jsonl").read_text(encoding="utf-8")
    return (json.loads(line) for line in text.splitlines())


def _write(path: Path, rows: list[_Row], limit: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [rows[len(rows) * i // limit] for i in range(limit)] if len(rows) > limit else rows
    lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in kept)
    path.with_suffix(".jsonl").write_text("".join(lines), encoding="utf-8")
