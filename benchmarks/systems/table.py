"""The table of docs/papers.md, made of the results that are there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from benchmarks.stored import Results
from benchmarks.systems.systems import SYSTEMS, System

RESULTS = Path(__file__).parents[1] / "results" / "systems.jsonl"
SMALL = RESULTS.with_name("systems_small.jsonl")
"""Of before, on the small tiny TOFU; its lines have the commands of their time."""
KEY = ("system", "seed")
FIGURES = {
    "forget/ks_distance": "D to gold",
    "forget/exact_memorization": "Exact memorisation",
    "forget/rougeL_recall": "Forget ROUGE-L",
    "utility/model_utility": "Model utility",
    "neighbour/rougeL_recall": "Neighbour ROUGE-L",
}
SMALL_FIGURES = {
    "forget/forget_quality": "Forget quality (p)",
    "utility/model_utility": "Model utility",
    "forget/rougeL_recall": "Forget ROUGE-L",
    "neighbour/rougeL_recall": "Neighbour ROUGE-L",
}

BySystem = Mapping[str, Sequence[Mapping[str, Any]]]


def read_results(path: Path = RESULTS) -> dict[str, list[dict[str, Any]]]:
    """All results by system, in the order of their seeds."""
    found: dict[str, list[dict[str, Any]]] = {}
    for result in Results(path, KEY).all():
        found.setdefault(result["system"], []).append(result)
    return found


def table(
    results: BySystem,
    systems: Mapping[str, System] = SYSTEMS,
    shown: Mapping[str, str] = FIGURES,
) -> str:
    """A row a system: mean over seeds, and the standard deviation of the sample."""
    head = ["System", "`--system`", "By", *shown.values(), "CPU s", "Peak MiB", "Seeds"]
    lines = [head, [*["---"] * 3, *["---:"] * (len(head) - 3)]]
    for name, system in systems.items():
        if runs := results.get(name):
            figures = [spread([run["figures"][key] for run in runs], 3) for key in shown]
            costs = ["", ""]
            if system.commands:
                costs = [spread([run[key] for run in runs], 0) for key in ("seconds", "peak_mb")]
            title = f"{system.title} ({system.source})" if system.source else system.title
            seeds = str(len(runs)) if system.seeded else ""
            lines.append([title, f"`{name}`", _by(system), *figures, *costs, seeds])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def without_row(results: BySystem) -> str:
    """The systems that nobody has run yet, in a sentence."""
    names = [f"`{name}`" for name in SYSTEMS if not results.get(name)]
    return f"Not run yet: {', '.join(names)}.\n" if names else "Every `--system` has a row.\n"


def by_metric(results: BySystem, names: Sequence[str], metrics: Sequence[str] = ()) -> str:
    """A column a system, a row a metric: all that the suite measured, or those named."""
    columns = {name: results[name] for name in ("before", "gold", *names) if results.get(name)}
    known = [key for key in columns["before"][0]["figures"] if not metrics or key in metrics]
    lines = [["", *columns], ["---", *["---:"] * len(columns)]]
    for key in known:
        found = ([run["figures"][key] for run in runs] for runs in columns.values())
        lines.append([key, *(spread(values, 3) for values in found)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def spread(values: Sequence[float], digits: int) -> str:
    """Mean and standard deviation, the mean alone of one value."""
    mean = f"{fmean(values):.{digits}f}"
    return mean if len(values) < 2 else f"{mean} ± {stdev(values):.{digits}f}"


def _by(system: System) -> str:
    """The recipes that are run and the edits that follow, each once."""
    parts = [f"`{name}`" for name in system.recipes]
    edits = [f"`edit {words[1]}`" for words in system.commands if words[0] == "edit"]
    return ", ".join(dict.fromkeys([*parts, *edits]))
