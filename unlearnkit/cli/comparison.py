"""Prints a comparison at the shell, and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from unlearnkit.cli.console import out
from unlearnkit.plain import number
from unlearnkit.redact import printable

if TYPE_CHECKING:
    from unlearnkit.runs.compare import Column, Comparison, OverSeeds

_WIDEST = 14
"""Characters of a heading; longer names are numbered, and stand below the table."""
_LATEX = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "±": r"$\pm$", **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}  # fmt: skip


def heading(column: Column) -> str:
    """The name, with the number of seeds if there are several."""
    seeds = len(column.runs)
    return f"{column.name} ({seeds} seeds)" if seeds > 1 else column.name


def cell(found: OverSeeds | None) -> str:
    """A value over seeds."""
    if found is None:
        return "-"
    if found.deviation is None:
        return number(found.mean)
    return f"{number(found.mean)} ± {number(found.deviation)}"


def rows(comparison: Comparison) -> Iterator[tuple[str, list[tuple[str, bool]]]]:
    """Address of each row, and the text of its cells with whether each is best."""
    for row in comparison.metrics:
        best = comparison.best(row)
        yield (
            row,
            [(cell(c.metrics.get(row)), c.ranked and c.name in best) for c in comparison.columns],
        )


def show_table(comparison: Comparison) -> None:
    """One table, or as many below each other as the width needs; long names are numbered."""
    console = out()
    mark = "" if console.is_terminal else "* "  # a file shows no bold
    lines = list(rows(comparison))
    names = [printable(heading(column)) for column in comparison.columns]
    heads = _short(comparison.columns, names)
    label = max([7, *(len(name.partition("/")[2]) for name, _ in lines)])
    verdicts = [column.verdict or "" for column in comparison.columns]
    texts = [*heads, *verdicts, *(text for _, cells in lines for text, _ in cells)]
    widest = max([5, *map(len, texts)]) + len(mark)
    fitting = max(1, (console.width - label - 4) // (widest + 2))
    for start in range(0, len(heads), fitting):
        part = slice(start, start + fitting)
        table = Table(box=box.SIMPLE_HEAD)
        table.add_column("", no_wrap=True)
        for head in heads[part]:
            table.add_column(Text(head), justify="right", no_wrap=True)
        if any(verdicts):
            table.add_row(Text("verdict", style="bold"), *map(Text, verdicts[part]))
        shown = None
        for name, cells in lines:
            suite, _, name = name.partition("/")
            if suite != shown:
                table.add_row(Text(printable(suite), style="bold"))
                shown = suite
            styled = (
                Text(mark + text, style="bold green") if best else Text(text)
                for text, best in cells[part]
            )
            table.add_row(Text(printable(name)), *styled)
        console.print(table)
    for head, name in zip(heads, names, strict=True):
        if head != name:
            console.print(Text(f"{head}: {name}"))
    several = any(len(column.runs) > 1 for column in comparison.columns)
    note = ("* is the best value." if mark else "Best values are bold.") + (
        " Several seeds: mean ± sd." if several else ""
    )
    console.print(note, style="dim")
    for each in comparison.notes:
        console.print(Text(printable(each), style="dim"))


def latex(comparison: Comparison) -> str:
    """A tabular for the package booktabs, with a key in comments where names are numbered."""
    names = [heading(column) for column in comparison.columns]
    heads = _short(comparison.columns, names)
    key = [f"% {h}: {printable(n)}\n" for h, n in zip(heads, names, strict=True) if h != n]
    key += [f"% {printable(note)}\n" for note in comparison.notes]
    lines = [["", *map(_escaped, heads)]]
    if any(column.verdict for column in comparison.columns):
        lines.append(["verdict", *(column.verdict or "" for column in comparison.columns)])
    for name, cells in rows(comparison):
        shown = [
            f"\\textbf{{{_escaped(text)}}}" if best else _escaped(text) for text, best in cells
        ]
        lines.append([_escaped(comparison.label(name)), *shown])
    head, *body = [" & ".join(line) + r" \\" for line in lines]
    return "".join(key) + "\n".join(
        [f"\\begin{{tabular}}{{l{'r' * len(heads)}}}", r"\toprule", head, r"\midrule", *body,
         r"\bottomrule", r"\end{tabular}", ""]
    )  # fmt: skip


def _short(columns: tuple[Column, ...], names: list[str]) -> list[str]:
    """Headings: a number for every run where one of their names is long."""
    long = any(len(n) > _WIDEST for n, c in zip(names, columns, strict=True) if c.ranked)
    numbers = iter(range(1, len(names) + 1))
    return [
        str(next(numbers)) if long and column.ranked else name
        for name, column in zip(names, columns, strict=True)
    ]


def _escaped(text: str) -> str:
    return re.sub(r"[\\~^±&%$#_{}]", lambda sign: _LATEX[sign[0]], printable(text))
