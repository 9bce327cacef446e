"""The table of docs/metrics.md, made of the results that are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.meta.kinds import KINDS
from benchmarks.stored import Results

RESULTS = Path(__file__).parents[1] / "results" / "meta.jsonl"
KEY = ("kind", "name")
_HEAD = ("Metric", "Faithfulness", "95 % interval", "R", "Q", "Robustness", "Noise", "CPU s")


def ordered(found: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The most faithful metrics first, of equal ones the most robust."""
    return sorted(
        found,
        key=lambda each: (
            -round(each.get("faithfulness") or 0.0, 2),
            -round(each.get("robustness") or 0.0, 2),
            each["name"],
        ),
    )


def table(results: Results | None = None) -> str:
    """A row a metric, and what the depth score says of relearning."""
    found = (results or Results(RESULTS, KEY)).all()
    rows = [cells(each) for each in ordered(e for e in found if e["kind"] == "metric")]
    lines = [_HEAD, ("---", *["---:"] * (len(_HEAD) - 1)), *rows]
    text = "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
    notes = [depth_sentence(each) for each in found if each["kind"] == "depth"]
    return "\n".join([text, *notes])


def zoo_table() -> str:
    """The kinds of models, and how many there are of each."""
    lines = ["| Models | | |", "| --- | --- | ---: |"]
    lines += [f"| {kind.half} | {kind.what} | {kind.seeds} |" for kind in KINDS.values()]
    return "\n".join(lines) + "\n"


def cells(found: Mapping[str, Any]) -> Sequence[str]:
    """A metric's row."""
    low, high = found.get("interval") or (None, None)
    return (
        f"`{found['name']}`",
        _number(found.get("faithfulness")),
        "–" if low is None else f"{_number(low)} to {_number(high)}",
        *(_number(found.get(key)) for key in ("r", "q", "robustness", "noise")),
        _number(found["seconds"], 1),
    )


def depth_sentence(found: Mapping[str, Any]) -> str:
    """What the depth score says of relearning, in a sentence."""
    low, high = found["interval"]
    return (
        f"Rank correlation of the depth score with what relearning brings back, over the "
        f"{found['models']} {found['name']}: {found['correlation']:.2f} "
        f"({_number(low)} to {_number(high)}).\n"
    )


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None or value != value else f"{value:.{digits}f}"
