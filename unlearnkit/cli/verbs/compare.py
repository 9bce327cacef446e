"""``unlearnkit compare``: puts several runs into one table."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from unlearnkit.cli.console import err, out
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.verbs.base import VerbParser
from unlearnkit.errors import UserError
from unlearnkit.plain import number
from unlearnkit.redact import markdown_cell, printable, spreadsheet_text

if TYPE_CHECKING:
    from unlearnkit.runs.compare import Column, Comparison, OverSeeds

HELP = "Put the metrics of several runs in one table."
FORMATS = ("table", "md", "csv", "json")


def command(argv: list[str]) -> None:
    """Compares the runs that the words name."""
    about = "Put the metrics of several runs in one table; seeds of one recipe are mean ± sd."
    parser = VerbParser(prog="unlearnkit compare", description=about)
    parser.add_argument("runs", nargs="+", help="Run folders, or folders with runs below them.")
    parser.add_argument("--format", default="table", help="table, md, csv or json.")
    parser.add_argument("--picture", help="New PNG file: forgetting against utility.")
    parser.add_argument("--report", help="New HTML file: table and pictures, in one page.")
    given = parser.parse_args(argv)
    with heavy_imports():
        from unlearnkit.runs.compare import compare
        from unlearnkit.runs.report import report_comparison

    comparison = compare(given.runs)
    files = report_comparison(comparison, given.picture, given.report)
    show(comparison, given.format)
    for file in files:
        # The table may be piped on; these lines are no part of it.
        err().print(str(file), markup=False, soft_wrap=True)


def show(comparison: Comparison, form: str) -> None:
    """Prints a comparison.

    Raises:
        UserError: For another format.
    """
    if form not in FORMATS:
        raise UserError(f"--format: expected {', '.join(FORMATS)}, found '{form}'", title="usage")
    if form == "table":
        _table(comparison)
        return
    writers = {"md": _markdown, "csv": _csv, "json": _json}
    sys.stdout.write(writers[form](comparison))


def _heading(column: Column) -> str:
    seeds = len(column.runs)
    return f"{column.name} ({seeds} seeds)" if seeds > 1 else column.name


def _cell(found: OverSeeds | None) -> str:
    if found is None:
        return "-"
    if found.deviation is None:
        return number(found.mean)
    return f"{number(found.mean)} ± {number(found.deviation)}"


def _rows(comparison: Comparison) -> Iterator[tuple[str, list[tuple[str, bool]]]]:
    """Address of each row, and the text of its cells with whether each is best."""
    for row in comparison.metrics:
        best = comparison.best(row)
        yield (
            row,
            [(_cell(c.metrics.get(row)), c.ranked and c.name in best) for c in comparison.columns],
        )


def _table(comparison: Comparison) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for column in comparison.columns:
        table.add_column(Text(printable(_heading(column))), justify="right", overflow="fold")
    shown = None
    for name, cells in _rows(comparison):
        suite, _, name = name.partition("/")
        if suite != shown:
            table.add_row(Text(printable(suite), style="bold"))
            shown = suite
        texts = (Text(text, style="bold green" if best else "") for text, best in cells)
        table.add_row(Text(printable(name)), *texts)
    console = out()
    console.print(table)
    several = any(len(column.runs) > 1 for column in comparison.columns)
    note = "Best values are bold." + (" Several seeds: mean ± sd." if several else "")
    console.print(note, style="dim")


def _markdown(comparison: Comparison) -> str:
    def line(*cells: str) -> str:
        return "| " + " | ".join(cells) + " |\n"

    text = line("", *(markdown_cell(_heading(column)) for column in comparison.columns))
    text += line("---", *["---:"] * len(comparison.columns))
    for name, cells in _rows(comparison):
        text += line(
            markdown_cell(comparison.label(name)),
            *(f"**{cell}**" if best else cell for cell, best in cells),
        )
    return text


def _csv(comparison: Comparison) -> str:
    """One line for each metric and recipe, at full precision."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["figure", "recipe", "mean", "sd", "runs", "best"])
    for row in comparison.metrics:
        best = comparison.best(row)
        for column in comparison.columns:
            found = column.metrics.get(row)
            if found is not None:
                mean = "" if math.isnan(found.mean) else found.mean
                deviation = "" if found.deviation is None else found.deviation
                is_best = int(column.ranked and column.name in best)
                texts = map(spreadsheet_text, (comparison.label(row), column.name))
                writer.writerow([*texts, mean, deviation, found.count, is_best])
    return file.getvalue()


def _json(comparison: Comparison) -> str:
    from unlearnkit.files import as_json

    columns = [
        {
            "recipe": column.name,
            "runs": list(map(str, column.runs)),
            "figures": {
                comparison.label(row): found._asdict() for row, found in column.metrics.items()
            },
        }
        for column in comparison.columns
    ]
    best = {comparison.label(row): list(comparison.best(row)) for row in comparison.metrics}
    return as_json({"columns": columns, "best": best}) + "\n"
