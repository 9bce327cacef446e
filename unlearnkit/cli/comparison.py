"""Prints a comparison at the shell, and as LaTeX."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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
    for head, name, column in zip(heads, names, comparison.columns, strict=True):
        told = [name] if head != name else []
        told += [
            f"{key}={value}"
            for key, value in column.settings
            if f"{key.rpartition('.')[2]}={value}" not in name
        ]
        if told:
            console.print(Text(printable(f"{head}: {', '.join(told)}")))
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
    """Headings: where one of the runs' names is long, their settings, or else numbers."""
    ranked = [column for column in columns if column.ranked]
    long = any(len(n) > _WIDEST for n, c in zip(names, columns, strict=True) if c.ranked)
    by_settings = _settings(ranked)
    told = [each for each in by_settings if each and len(each) <= _WIDEST]
    if len(set(told)) < len(ranked):
        by_settings = [str(number) for number in range(1, len(ranked) + 1)]
    headings = iter(by_settings)
    return [
        next(headings) if long and column.ranked else name
        for name, column in zip(names, columns, strict=True)
    ]


def _settings(columns: Sequence[Column]) -> list[str]:
    """The settings of each column, by the last parts of their keys that tell them apart."""
    keys = {key for column in columns for key, _ in column.settings}
    short: dict[str, str] = {}
    for key in keys:
        steps = key.split(".")
        tails = (".".join(steps[-count:]) for count in range(1, len(steps) + 1))
        alone = (t for t in tails if not any(k != key and f".{k}".endswith(f".{t}") for k in keys))
        short[key] = next(alone, key)
    return [
        printable(", ".join(f"{short[key]}={value}" for key, value in column.settings))
        for column in columns
    ]


def _escaped(text: str) -> str:
    return re.sub(r"[\\~^±&%$#_{}]", lambda sign: _LATEX[sign[0]], printable(text))
