"""Results of ``unlearnkit tune`` at the shell and for its report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich import box
from rich.table import Table
from rich.text import Text

from unlearnkit.cli.console import out
from unlearnkit.files import write_json
from unlearnkit.plain import number
from unlearnkit.redact import printable

if TYPE_CHECKING:
    from unlearnkit.report.search import MetricLine, TrialPoint
    from unlearnkit.search.found import Found
    from unlearnkit.search.wanted import Values, Wanted


class Searched(NamedTuple):
    """A method's search.

    Args:
        method: Its name.
        found: Its trials.
        lines: Metrics of its best recipe.
    """

    method: str
    found: Found
    lines: list[MetricLine]


def points_of(found: Found) -> list[TrialPoint]:
    """The trials, as the report shows them."""
    from unlearnkit.report.search import TrialPoint
    from unlearnkit.search.found import broken

    best, front = found.best, {each.number for each in found.pareto}
    return [
        TrialPoint(
            each.number,
            each.settings,
            each.distance,
            broken(each.violations),
            each.number == best.number,
            each.number in front,
        )
        for each in found.trials
    ]


def lines_of(
    found: Found,
    wanted: Wanted,
    stages: Mapping[str, Mapping[str, Values]],
    runs: Sequence[Values],
) -> list[MetricLine]:
    """A line for each target and bound.

    Args:
        found: The search.
        wanted: What it aimed at.
        stages: Metrics by fold and stage.
        runs: Metrics of the chosen recipe's runs on the reporting rows.
    """
    from unlearnkit.report.search import MetricLine, spread

    aims = {key: [f"towards {level}"] for key, level in wanted.towards.items()}
    for key, side, level in wanted.keep:
        aims.setdefault(key, []).append(f"{side.replace('_', ' ')} {level}")
    suites = {key.partition("/")[0] for key in aims}
    lines: list[MetricLine] = []
    for key, parts in aims.items():
        short = key.partition("/")[2] if len(suites) == 1 else key
        cells: list[str] = []
        for fold in ("choosing", "reporting"):
            cells += [number(stages[fold].get(stage, {}).get(key)) for stage in ("before", "gold")]
            if fold == "choosing":
                cells.append(number(found.best.values.get(key)))
        lines.append(
            MetricLine(short, ", ".join(parts), [*cells, spread([r.get(key) for r in runs])])
        )
    return lines


def show_search(found: Found, lines: Sequence[MetricLine]) -> None:
    """The chosen settings, then each metric on the rows that chose and on the others."""
    console, best = out(), found.best
    table = Table(title=f"trial {best.number}, distance {number(best.distance)}",
                  box=box.SIMPLE_HEAD, title_justify="left")  # fmt: skip
    table.add_column("setting", overflow="fold")
    table.add_column("value", justify="right")
    for name, value in best.settings.items():
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        table.add_row(Text(printable(name)), Text(printable(shown)))
    console.print(table)
    if not best.feasible:
        console.print("no trial keeps all bounds; this one breaks them least", style="yellow")
    wide = Table(title="on rows that chose, and on rows that are reported", box=box.SIMPLE_HEAD,
                 title_justify="left")  # fmt: skip
    wide.add_column("metric", overflow="fold")
    for heading in ("aim", "chose", "before", "gold", "reported"):
        wide.add_column(heading, overflow="fold")
    for line in lines:
        chose, before, gold, reported = line.cells[2:]
        cells = (line.name, line.aim, chose, before, gold, reported)
        wide.add_row(*(Text(printable(each)) for each in cells))
    console.print(wide)


def show_methods(searched: Sequence[Searched], folder: Path) -> None:
    """Methods side by side, on the rows that are reported; also as ``methods.json``.

    Args:
        searched: The search of each.
        folder: Where the file is written.
    """
    ordered = sorted(searched, key=lambda each: each.found.best.rank)
    table = Table(title="methods, nearest first; metrics on the rows that are reported",
                  box=box.SIMPLE_HEAD, title_justify="left")  # fmt: skip
    for heading in ("method", "trials", "distance", "bounds"):
        table.add_column(heading)
    for line in ordered[0].lines:
        table.add_column(Text(printable(line.name)), overflow="fold")
    entries: list[dict[str, object]] = []
    for method, found, lines in ordered:
        best = found.best
        values = [line.cells[-1] for line in lines]
        kept = "kept" if best.feasible else "broken"
        cells = (method, str(len(found.trials)), number(best.distance), kept, *values)
        table.add_row(*(Text(printable(each)) for each in cells))
        entries.append(
            {
                "method": method,
                "trials": len(found.trials),
                "distance": best.distance,
                "keeps_bounds": best.feasible,
                "settings": best.settings,
                "reported": {line.name: line.cells[-1] for line in lines},
            }
        )
    write_json(folder / "methods.json", entries)
    out().print(table)
