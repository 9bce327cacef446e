"""Trains a method on several numbers of wordings."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.fair.making import make
from benchmarks.fair.methods import METHODS
from benchmarks.fair.running import Bench, digest_of
from benchmarks.fair.table import RESULTS, figures_of
from benchmarks.stored import Results
from unlearnkit.search.found import TrialResult

COUNTS = (0, 1, 2, 4)
"""Wordings beside the row's own."""
_FRAMES = ("Please tell me: {prompt}", "{prompt} I would like to know.",
           "Here is a question. {prompt}")  # fmt: skip
_FORGET = "data.streams.forget"


def worded(method: str, count: int) -> dict[str, Any]:
    """Settings with which a row is seen in its own wording and ``count`` others.

    The second wording of question and answer is the file's; from the third on, frames around the
    question are added.
    """
    if count == 1:
        return {}
    if count:
        return {f"{_FORGET}.frames": list(_FRAMES[: count - 1])}
    stream = METHODS[method].document().tree["data"]["streams"]["forget"]
    kept = ("path", "prompt_field", "response_field", "template")
    return {_FORGET: {"name": "qa", **{key: stream[key] for key in kept}}}


def run(bench: Bench, name: str, best: TrialResult, seeds: Sequence[int]) -> None:
    """Trains the best settings on each number of wordings; what has a line is not made again."""
    for seed in seeds:
        for count in COUNTS:
            settings = {**best.settings, **worded(name, count)}
            digest = digest_of(METHODS[name], settings, bench.steps)
            known = bench.results.get("wordings", f"{name} {count}", seed)
            if known is not None and known["digest"] == digest:
                continue
            with tempfile.TemporaryDirectory() as folder:
                made, seconds = make(METHODS[name], bench.whole(settings), seed, Path(folder))
                figures = None if made is None else bench.measurer.reported(made)
            bench.results.put({
                "kind": "wordings", "method": f"{name} {count}", "number": seed, "digest": digest,
                "settings": settings, "seconds": round(seconds, 2), "figures": figures,
            })  # fmt: skip


def table(path: Path = RESULTS) -> str:
    """A row a number of wordings."""
    lines = Results(path, ("kind", "method", "number")).all()
    told = [line for line in lines if line["kind"] == "wordings" and line["figures"] is not None]
    gold = next(line["figures"] for line in lines if line["method"] == "gold")
    head = ("`--wordings`", "Wordings beside the own", "D to gold", "95 % of rows", "Utility",
            "Neighbours", "Held out", "Exact memorisation", "Others relearned, over gold",
            "Seeds")  # fmt: skip
    rows: list[Sequence[str]] = [head, ["---", *["---:"] * (len(head) - 1)]]
    for name in sorted({line["method"] for line in told}):
        measured = [line["figures"] for line in told if line["method"] == name]
        method, count = name.split()
        rows.append([f"`{method}`", count, *figures_of(measured, gold), str(len(measured))])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n"
