"""The tables of docs/results.md, made of the results that are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean, stdev

from benchmarks.real.figures import COLUMNS
from benchmarks.stored import Result


def of(results: Iterable[Result], application: str) -> dict[str, list[Result]]:
    """The results of an application by method, one a seed."""
    found: dict[str, list[Result]] = {}
    for each in results:
        if each["application"] == application:
            found.setdefault(each["method"], []).append(each)
    return found


def table(
    results: Mapping[str, Sequence[Result]],
    titles: Mapping[str, str],
    figures: Mapping[str, str] | None = None,
) -> str:
    """A row a method: mean over seeds, and the standard deviation of the sample.

    Args:
        results: By method.
        titles: Methods in their order.
        figures: Figures of the suite that follow the columns, and their headings; a run that
            lacks one is left out of it.
    """
    more = figures or {}
    head = ["Method", *COLUMNS.values(), *more.values(), "Steps", "Seeds"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, title in titles.items():
        if runs := results.get(name):
            cells = [spread([run["columns"][key] for run in runs]) for key in COLUMNS]
            found = [[run["figures"].get(key) for run in runs] for key in more]
            cells += [spread([each for each in some if each is not None]) for some in found]
            steps = "" if "steps" not in runs[0] else _plain([run["steps"] for run in runs])
            lines.append(f"| {' | '.join([title, *cells, steps, str(len(runs))])} |")
    return "\n".join(lines)


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation of the sample; a dash for no values."""
    if not values:
        return "-"
    mean = _number(fmean(values))
    return mean if len(values) < 2 else f"{mean} ± {_number(stdev(values))}"


def _plain(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 1000 else f"{value:.1e}"
