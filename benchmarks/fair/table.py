"""The table of docs/fair.md, made of the results that are there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median
from typing import Any, NamedTuple

from benchmarks.fair.methods import METHODS
from benchmarks.fair.running import KEY, SHIPPED, WANTED
from benchmarks.stored import Results
from benchmarks.systems.table import spread
from unlearnkit.cli.recipe.shipped import shipped

RESULTS = Path(__file__).parents[1] / "results" / "fair.jsonl"
DISTANCE, NEIGHBOURS = "forget/ks_distance", "neighbour/rougeL_recall"
FIGURES = {
    "utility/model_utility": "Utility",
    NEIGHBOURS: "Neighbours",
    "heldout/rougeL_recall": "Held out",
    "exact_memorization": "Exact memorisation",
}
HEAD = ("Method", "`--methods`", "D to gold", "95 % of rows", *FIGURES.values(),
        "Others relearned, over gold", "Keeps both bounds", "Kept them when choosing",
        "Search distance, as shipped", "Search distance, found", "CPU s", "Trials",
        "Seeds")  # fmt: skip
UNTOLD = {
    "erase": "these data cannot speak of it: its model never saw the authors, and so small a model "
    "cannot read a prompt of several rows",
    "o3": "its adapters are chosen by the prompt, one a request; here is one request",
}
"""Systems of docs/papers.md that have no row, and why."""
_PARTS = {"sku_stage1": "sku", "uld_assistant": "uld", "o3_adapter": "o3"}
"""Recipes of trained parts, by the name of what is made with them."""


class Row(NamedTuple):
    """A method's results.

    Args:
        name: As ``--methods`` takes it.
        runs: Lines of its seeds, in their order.
        shipped: Distance of the settings as shipped, on the choosing rows.
        shipped_keeps: Whether these keep both bounds there.
    """

    name: str
    runs: list[dict[str, Any]]
    shipped: float
    shipped_keeps: bool

    @property
    def measured(self) -> list[dict[str, Any]]:
        """Figures of the seeds whose training did not diverge."""
        return [run["figures"] for run in self.runs if run["figures"] is not None]

    def values(self, key: str) -> list[float]:
        """A figure of each seed."""
        return [figures[key] for figures in self.measured]


def read_rows(path: Path = RESULTS) -> tuple[dict[str, dict[str, Any]], list[Row]]:
    """Figures of the models before unlearning and gold, and a row a method, nearest first."""
    lines = Results(path, KEY).all()
    stages = {line["method"]: line for line in lines if line["kind"] == "stage"}
    values = {name: line["values"] for name, line in stages.items()}
    shipped = {
        line["method"]: line["values"]
        for line in lines
        if line["kind"] == "trial" and line["number"] == SHIPPED
    }
    rows = [
        Row(
            name,
            runs,
            WANTED.distance(shipped[name], values),
            all(each <= 0 for each in WANTED.violations(shipped[name], values)),
        )
        for name in METHODS
        if (runs := [x for x in lines if x["kind"] == "seed" and x["method"] == name])
    ]
    figures = {name: line["figures"] for name, line in stages.items()}
    rows = [row for row in rows if row.measured]
    rows.sort(key=lambda row: (not keeps(row, figures["before"]), fmean(row.values(DISTANCE))))
    return figures, rows


def keeps(row: Row, before: dict[str, Any]) -> bool:
    """Whether the means of the reported figures keep what a trial has to keep."""
    means = {bound.key: fmean(row.values(bound.key)) for bound in WANTED.keep}
    return all(each <= 0 for each in WANTED.violations(means, {"before": before}))


def table(path: Path = RESULTS) -> str:
    """A row a method: those that keep both bounds first, the nearest to gold at the top."""
    stages, rows = read_rows(path)
    lines: list[Sequence[str]] = [HEAD, ["---", "---", *["---:"] * (len(HEAD) - 2)]]
    for name, title in (("before", "before unlearning"), ("gold", "gold: never saw the authors")):
        lines.append([title, "", *figures_of([stages[name]], stages["gold"]), *[""] * 7])
    for row in rows:
        method, last = METHODS[row.name], row.runs[-1]
        title = f"{method.title} ({method.source})" if method.source else method.title
        lines.append([
            title, f"`{row.name}`", *figures_of(row.measured, stages["gold"]),
            _yes(keeps(row, stages["before"])), _yes(last["feasible"]), f"{row.shipped:.2f}",
            f"{last['distance']:.2f}", spread([run["seconds"] for run in row.runs], 0),
            str(last["trials"]), str(len(row.measured)),
        ])  # fmt: skip
    made = "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"
    return f"{made}\n{_medians(rows, stages['before'])}\n{_left_out({row.name for row in rows})}"


def settings(path: Path = RESULTS) -> str:
    """What was found for each method; what stands in no line is as shipped."""
    lines = [("`--methods`", "Trial", "Settings"), ("---", "---:", "---")]
    for row in read_rows(path)[1]:
        last = row.runs[-1]
        words = ", ".join(f"`{key} {_short(each)}`" for key, each in last["settings"].items())
        lines.append((f"`{row.name}`", str(last["trial"]), words or "as shipped"))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def figures_of(measured: Sequence[dict[str, Any]], gold: dict[str, Any]) -> list[str]:
    """D, its interval, the figures, and relearning over gold, over seeds."""
    intervals = [each["interval"] for each in measured]
    low, high = min(each[0] for each in intervals), max(each[1] for each in intervals)
    found = [spread([each[DISTANCE] for each in measured], 2), f"{low:.2f} to {high:.2f}"]
    found += [spread([each[key] for each in measured], 2) for key in FIGURES]
    return [*found, spread([each["relearned"] - gold["relearned"] for each in measured], 2)]


def _medians(rows: Sequence[Row], before: dict[str, Any]) -> str:
    """What the search changed, over all methods."""
    if not rows:
        return ""
    shipped, found = ([row.shipped for row in rows], [row.runs[-1]["distance"] for row in rows])
    kept = sum(keeps(row, before) for row in rows)
    near = sum(row.shipped_keeps for row in rows)
    chosen = sum(row.runs[-1]["feasible"] for row in rows)
    return (
        f"Over {len(rows)} methods the median search distance is {median(shipped):.2f} as "
        f"shipped, where {near} of them keep both bounds, and {median(found):.2f} as found, where "
        f"{chosen} do; {kept} keep them on the reporting rows.\n"
    )


def _left_out(told: set[str]) -> str:
    waiting = [name for name in METHODS if name not in told] + unlisted()
    words = [f"`{name.replace(', ', '`, `')}`: {why}." for name, why in UNTOLD.items()]
    if waiting:
        words.append(f"Not run yet: {', '.join(f'`{name}`' for name in waiting)}.")
    return "Without a row:\n\n" + "".join(f"- {each}\n" for each in words)


def unlisted() -> list[str]:
    """Recipes of ``methods/`` that neither stand in the bench nor have a reason why not."""
    told = {name.strip() for names in UNTOLD for name in names.split(",")} | METHODS.keys()
    names = [name.partition("/")[2] for name in shipped() if name.startswith("methods/")]
    return [name for name in names if _PARTS.get(name, name) not in told]


def _yes(kept: bool) -> str:
    return "yes" if kept else "no"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
