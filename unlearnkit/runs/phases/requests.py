"""Measures each request to forget after every later one."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unlearnkit.files import write_json, write_text
from unlearnkit.suites.requests import Requests

Curve = list[dict[str, Any]]
"""Metrics of all requests: first of the original model, then after each request.

One mapping per model: ``after``, the request's name or None; ``figures``, as
``<request>/<metric>``, ``normal/<metric>`` and ``heldout/<metric>``.
"""


def curve_of(phases: Sequence[tuple[str, Path]]) -> Curve:
    """The curve of phases, by name and folder; empty unless each ran the suite of requests.

    What a phase found before it began is what the one before left.
    """
    name = str(Requests.registered_name)
    found = [_suites(folder).get(name, {}) for _, folder in phases]
    if not found or not all("after" in each for each in found):
        return []
    curve = [{"after": None, "figures": found[0].get("before", {})}]
    return curve + [
        {"after": phase, "figures": each["after"]}
        for (phase, _), each in zip(phases, found, strict=True)
    ]


def write_curve(folder: Path, curve: Curve) -> None:
    """Writes ``requests.json`` and ``requests.csv``, one line per model, one column per metric."""
    if not curve:
        return
    write_json(folder / "requests.json", curve)
    figures = list(dict.fromkeys(key for point in curve for key in point["figures"]))
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["request", "after", *figures])
    for index, point in enumerate(curve):
        values = [point["figures"].get(key, "") for key in figures]
        writer.writerow([index, point["after"] or "", *values])
    write_text(folder / "requests.csv", file.getvalue())


def _suites(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))["suites"]
