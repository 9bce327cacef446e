"""``unlearnkit compare``: puts runs and other models into one table."""

from __future__ import annotations

import csv
import io
import math
import sys
from typing import TYPE_CHECKING

from unlearnkit.cli.comparison import heading, latex, rows, show_table
from unlearnkit.cli.console import err
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.recipe.shipped import expected
from unlearnkit.cli.verbs.base import VerbParser
from unlearnkit.errors import UserError
from unlearnkit.redact import markdown_cell, spreadsheet_text

if TYPE_CHECKING:
    from unlearnkit.runs.compare import Comparison

HELP = "Put the metrics of several runs and other models in one table."
FORMATS = ("table", "md", "csv", "json", "latex")


def command(argv: list[str]) -> None:
    """Compares the runs that the words name."""
    about = "Put the metrics of runs and other models in one table; seeds are mean ± sd."
    parser = VerbParser(prog="unlearnkit compare", description=about)
    parser.add_argument(
        "runs",
        nargs="+",
        help="Run folders, folders with runs below them, or any models that were evaluated.",
    )
    parser.add_argument("--format", default="table", help="table, md, csv, json or latex.")
    parser.add_argument("--picture", help="New PNG, PDF or SVG file: forgetting against utility.")
    parser.add_argument(
        "--name",
        type=list[str] | None,
        help="A name for each run, in their order; give it once for each.",
    )
    parser.add_argument(
        "--metric",
        type=list[str] | None,
        help="Rows to show, by address or pattern, such as '*/rougeL_recall'; may be repeated.",
    )
    parser.add_argument(
        "--column",
        type=list[str] | None,
        help="Columns to show, by name or number; may be repeated.",
    )
    parser.add_argument(
        "--before", help="Starting model of the models that are no runs; it was evaluated too."
    )
    parser.add_argument("--report", help="New HTML file: table and pictures, in one page.")
    parser.add_argument(
        "--expected",
        help="Published results: a JSON file, or a shipped one, such as published/tofu.",
    )
    lists = ("--name", "--metric", "--column")
    # jsonargparse lets a list grow by ``--option+``.
    words = [
        f"{option}+{word[len(option) :]}" if (option := word.partition("=")[0]) in lists else word
        for word in argv
    ]
    given = parser.parse_args(words)
    if given.format not in FORMATS:
        raise UserError(
            f"--format: expected {', '.join(FORMATS)}, found '{given.format}'", title="usage"
        )
    with heavy_imports():
        from unlearnkit.runs.compare import compare
        from unlearnkit.runs.folder import load_run
        from unlearnkit.runs.report import report_comparison
        from unlearnkit.verdict.expected import with_expected

    comparison, told = compare(given.runs, given.name or (), given.before), []
    if given.expected is not None:
        recipes = {each.name: load_run(each.runs[0]).recipe
                   for each in comparison.columns if each.runs}  # fmt: skip
        comparison, told = with_expected(comparison, recipes, expected(given.expected))
    comparison = comparison.only(given.metric, given.column)
    files = report_comparison(comparison, given.picture, given.report)
    show(comparison, given.format)
    if given.format == "csv":
        told = [*comparison.notes, *told]  # which no line of it has room for
    for line in told:
        err().print(line, soft_wrap=True, style="yellow")
    for file in files:
        # The table may be piped on; these lines are no part of it.
        err().show_line(file)


def show(comparison: Comparison, form: str) -> None:
    """Prints a comparison in one of `FORMATS`."""
    if form == "table":
        show_table(comparison)
        return
    writers = {"md": _markdown, "csv": _csv, "json": _json, "latex": latex}
    sys.stdout.write(writers[form](comparison))


def _markdown(comparison: Comparison) -> str:
    def line(*cells: str) -> str:
        return "| " + " | ".join(cells) + " |\n"

    text = line("", *(markdown_cell(heading(column)) for column in comparison.columns))
    text += line("---", *["---:"] * len(comparison.columns))
    for name, cells in rows(comparison):
        text += line(
            markdown_cell(comparison.label(name)),
            *(f"**{cell}**" if best else cell for cell, best in cells),
        )
    return text + "".join(f"\n{markdown_cell(note)}\n" for note in comparison.notes)


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
    found = {"columns": columns, "best": best}
    return as_json(found | ({"notes": comparison.notes} if comparison.notes else {})) + "\n"
