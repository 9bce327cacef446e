"""The table of docs/comparison.md, made of the results that are there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.preference.data import make
from benchmarks.preference.methods import METHODS
from benchmarks.preference.running import KEY, ordered
from benchmarks.preference.settings import TINY, Setting
from benchmarks.stored import Results
from benchmarks.systems.table import spread

RESULTS = TINY.results
OURS = "llmu"
FIGURES = {
    "rude": "Rude, unseen",
    "trained": "Rude, trained",
    "polite": "Polite, unseen",
    "protected": "Right, protected",
    "heldout": "Right, held-out",
}
COSTS = ("wall", "cpu", "flops")

Line = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """A method with its trials, and what its seeds came to.

    Args:
        name: Of the method.
        rates: Those that reached the goal on the choosing prompts, the fastest first.
        trials: How many were tried there.
        seeds: By seed the last of its runs, with the costs of all of them and their rates.
    """

    name: str
    rates: list[float]
    trials: int
    seeds: dict[int, Line]


def read_rows(path: Path = RESULTS) -> list[Row]:
    """A row a method that has trials, in the order of the methods."""
    lines = Results(path, KEY).all()
    rows: list[Row] = []
    for name in METHODS:
        own = [line for line in lines if line["method"] == name]
        trials = [line for line in own if line["kind"] == "trial"]
        rates = ordered(trials)
        runs = {(x["seed"], x["rate"]): x for x in own if x["kind"] == "seed"}
        seeds = {seed: _together(runs, seed, rates) for seed in {seed for seed, _ in runs}}
        found = {seed: line for seed, line in sorted(seeds.items()) if line is not None}
        if trials:
            rows.append(Row(name, rates, len(trials), found))
    return rows


def _together(runs: dict[Any, Line], seed: int, rates: Sequence[float]) -> Line | None:
    """The last run of a seed, with the costs of those before it, which did not reach the goal."""
    tried: list[Line] = []
    for rate in rates:
        line = runs.get((seed, rate))
        if line is None:
            break
        tried.append(line)
        if line["reached"]:
            break
    if not tried:
        return None
    sums = {key: sum(line[key] for line in tried) for key in ("step", *COSTS)}
    return {**tried[-1], **sums, "rates": [line["rate"] for line in tried]}


def cost(line: Line, kind: str, *, policy: bool = True, reward: bool = True) -> float:
    """What a run cost, its reward model included.

    Args:
        line: A seed's.
        kind: ``wall``, ``cpu`` or ``flops``.
        policy: Whether the training of the policy counts, sampling included.
        reward: Whether the training of the reward model counts.
    """
    own = line[kind] if policy else 0.0
    return own + (line["reward"][kind] if reward and "reward" in line else 0.0)


def share(ours: Row, other: Row, kind: str) -> list[float]:
    """Cost of ours over that of another, by seed, where both reached the goal."""
    both = sorted(ours.seeds.keys() & other.seeds.keys())
    return [
        cost(ours.seeds[seed], kind) / cost(other.seeds[seed], kind)
        for seed in both
        if ours.seeds[seed]["reached"] and other.seeds[seed]["reached"]
    ]


def labels(name: str, setting: Setting = TINY) -> str:
    """How many answers of which kind a method is given."""
    rows = make(0, setting.verbs, setting.questions)
    counts = {kind: len(rows[f"{kind}/trained"]) for kind in METHODS[name].labels}
    return ", ".join(f"{count} {kind}" for kind, count in counts.items())


def table(path: Path = RESULTS, setting: Setting = TINY) -> str:
    """A row a method: costs of all that is needed, and what the last look found."""
    rows = read_rows(path)
    if not rows:
        return "Not run yet.\n"
    head = ("Method", "`--methods`", "Rate", "Reached", "Steps", "Wall s", "CPU s",
            "of it reward model", "GFLOP", "of it reward model", "Answers given",
            *FIGURES.values())  # fmt: skip
    made: list[Sequence[str]] = [
        head,
        ("---", "---", *["---:"] * 8, "---", *["---:"] * len(FIGURES)),
    ]
    before = [line for line in Results(path, KEY).all() if line["kind"] == "before"]
    reported = [line for line in before if line["seed"] in _seeds(rows)]
    if reported:
        made.append(["as taught", *[""] * 10, *_figures(reported)])
    made.extend(_line(row, setting) for row in rows)
    return _markdown(made)


def shares(path: Path = RESULTS) -> str:
    """What ours costs beside each other method, lowest and highest seed."""
    rows = {row.name: row for row in read_rows(path)}
    if OURS not in rows or len(rows) < 2:
        return "Not run yet.\n"
    titles = {"wall": "Wall", "cpu": "CPU time", "flops": "Operations"}
    made: list[Sequence[str]] = [("LLMU over", *titles.values(), "Seeds"),
                                 ("---", *["---:"] * (len(titles) + 1))]  # fmt: skip
    for name, row in rows.items():
        if name != OURS:
            found = {kind: share(rows[OURS], row, kind) for kind in COSTS}
            cells = [_range(values) for values in found.values()]
            made.append([METHODS[name].title, *cells, str(len(found["cpu"]))])
    return _markdown(made)


def trials(path: Path = RESULTS) -> str:
    """A row a method, a column a rate: steps and CPU seconds to the goal when choosing."""
    lines = [line for line in Results(path, KEY).all() if line["kind"] == "trial"]
    if not lines:
        return "Not run yet.\n"
    rates = sorted({line["rate"] for line in lines})
    found = {(line["method"], line["rate"]): line for line in lines}
    titles = {"reward": "reward model", **{name: method.title for name, method in METHODS.items()}}
    made: list[Sequence[str]] = [("Method", *(f"{rate:g}" for rate in rates)),
                                 ("---", *["---:"] * len(rates))]  # fmt: skip
    made.extend(
        [title, *(_trial(found.get((name, rate))) for rate in rates)]
        for name, title in titles.items()
        if any(line["method"] == name for line in lines)
    )
    return _markdown(made)


def _trial(line: Line | None) -> str:
    if line is None:
        return ""
    return f"{line['step']} steps, {line['cpu']:.1f} s" if line["reached"] else "not reached"


def _line(row: Row, setting: Setting) -> list[str]:
    method, lines = METHODS[row.name], list(row.seeds.values())
    start = [method.title, f"`{row.name}`"]
    if not lines:
        why = "" if row.rates else f"none of {row.trials}"
        return [*start, why, *[""] * 7, labels(row.name, setting), *[""] * len(FIGURES)]
    rewarded = [line["reward"] for line in lines if "reward" in line]
    done = [line for line in lines if line["reached"]]
    first = sum(len(line["rates"]) == 1 for line in done)
    used = [rate for rate in row.rates if any(rate in line["rates"] for line in lines)]
    return [
        *start,
        ", then ".join(f"{rate:g}" for rate in used),
        f"{len(done)} of {len(lines)}" + (f", {first} at once" if first < len(done) else ""),
        spread([line["step"] for line in lines], 0),
        spread([cost(line, "wall") for line in lines], 1),
        spread([cost(line, "cpu") for line in lines], 1),
        spread([each["cpu"] for each in rewarded], 1) if rewarded else "",
        spread([cost(line, "flops") / 1e9 for line in lines], 0),
        spread([each["flops"] / 1e9 for each in rewarded], 0) if rewarded else "",
        labels(row.name, setting),
        *_figures(lines),
    ]


def _figures(lines: Sequence[Line]) -> list[str]:
    return [spread([line[key] for line in lines], 2) for key in FIGURES]


def _range(values: Sequence[float]) -> str:
    if not values:
        return "-"
    return f"{fmean(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def _seeds(rows: Sequence[Row]) -> set[int]:
    return {seed for row in rows for seed in row.seeds}


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
