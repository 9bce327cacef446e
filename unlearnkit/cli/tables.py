"""Tables of evaluations and comparisons at the shell."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from unlearnkit.cli.console import out, show_notes
from unlearnkit.plain import number
from unlearnkit.redact import printable

if TYPE_CHECKING:
    from unlearnkit.attacks import Kept, Result
    from unlearnkit.runs.evaluate import Found


_LEFT_COLUMNS, _WIDEST_COLUMN = 44, 12
_ATTACKED_ROWS = {
    "trained": "rows that the attacker trained on",
    "others": "forget rows that the attacker did not see, which are what counts",
}


def show_evaluations(found: Sequence[Found], gold: Sequence[Found] = ()) -> None:
    """One table per suite: metric and interval; what is missing and why; where the rows are.

    Args:
        found: Of the model.
        gold: The same suites' of the gold model, or none.
    """
    console = out()
    beside = {each.evaluation.suite: each.evaluation.values for each in gold}
    for each in found:
        evaluation = each.evaluation
        table = Table(
            title=f"{evaluation.suite} on {printable(evaluation.model['name'])}",
            box=box.SIMPLE_HEAD,
            title_justify="left",
        )
        table.add_column("metric", no_wrap=True)
        table.add_column("value", justify="right")
        table.add_column("95 % interval", justify="right")
        if gold:
            table.add_column("gold", justify="right")
        for name, value in evaluation.values.items():
            low, high = evaluation.intervals.get(name, (math.nan, math.nan))
            interval = "-" if math.isnan(low) else f"{number(low)} to {number(high)}"
            others = [number(beside[evaluation.suite].get(name))] if gold else []
            table.add_row(Text(name), number(value), interval, *others)
        console.print(table)
        for name, reason in evaluation.missing.items():
            console.print(Text.assemble(("left out: ", "yellow"), f"{name} ({printable(reason)})"))
        show_notes(evaluation.notes)
        when = f"unchanged since {evaluation.created}" if each.reused else evaluation.created
        console.show_line(f"{each.path} ({when})")


def show_attack(kept: Kept) -> None:
    """A line for each metric and model, a column for each measurement, as many as there is room."""
    console = out()
    attack = kept.attack
    first = next(iter(attack.curves.values()))
    by, *names = first[0]
    points = ["as it is" if measured[by] is None else str(measured[by]) for measured in first]
    numbered = max(map(len, points)) > _WIDEST_COLUMN
    headings = [str(i) for i in range(len(points))] if numbered else points
    columns = max(1, (console.width - _LEFT_COLUMNS) // (max(5, *map(len, headings)) + 3))
    tall = numbered and len(points) > 2 * columns
    if tall:
        _show_tall(attack, by, names, points)
    for start in range(0, 0 if tall else len(points), columns):
        some = slice(start, start + columns)
        table = Table(title=f"{attack.attack}, by {by}", box=box.SIMPLE_HEAD, title_justify="left")
        for heading in ("metric", "model"):
            table.add_column(heading, no_wrap=True)
        for heading in headings[some]:
            table.add_column(Text(heading), justify="right", no_wrap=True)
        for name in names:
            for model, curve in attack.curves.items():
                table.add_row(Text(name), model, *(number(each[name]) for each in curve[some]))
        console.print(table)
    if numbered and not tall:
        for heading, point in zip(headings, points, strict=True):
            console.print(Text(f"  {heading}: {printable(point)}"))
    kinds = {name.partition("/")[0] for name in names}
    for kind, which in _ATTACKED_ROWS.items():
        if kind in kinds:
            console.print(f"{kind}: {which}")
    for model, what in attack.changed.items():
        console.print(f"{model}: the attacker trained {what}")
    for name, value in attack.figures.items():
        console.print(f"{name}: {number(value)}")
    show_notes(attack.notes)
    when = f"unchanged since {attack.created}" if kept.reused else attack.created
    console.show_line(f"{kept.path} ({when})")


def _show_tall(attack: Result, by: str, names: Sequence[str], points: Sequence[str]) -> None:
    """A table for each metric, with a line for each measurement and a column for each model."""
    for name in names:
        table = Table(title=f"{name}, by {by}", box=box.SIMPLE_HEAD, title_justify="left")
        table.add_column(by, overflow="fold")
        for model in attack.curves:
            table.add_column(model, justify="right", no_wrap=True)
        for i, point in enumerate(points):
            values = [curve[i].get(name) for curve in attack.curves.values()]
            if any(value is not None for value in values):
                table.add_row(Text(printable(point)), *map(number, values))
        if table.row_count:
            out().print(table)


def show_parcel(where: str, private: bool, sizes: Mapping[str, int], *, sent: bool) -> None:
    """Files that go to the Hub, and where to.

    Args:
        where: Address of the repository.
        private: Whether it is to be private.
        sizes: Files in bytes, by name.
        sent: Whether they are being sent, and not only shown.
    """
    console = out()
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("file", overflow="fold")
    table.add_column("size", justify="right", no_wrap=True)
    for name, size in sizes.items():
        table.add_row(Text(printable(name)), decimal(size))
    table.add_section()
    table.add_row("all", decimal(sum(sizes.values())))
    console.print(table)
    kind = "private" if private else "public, unless it is there and private"
    verb = "sending to" if sent else "nothing is sent; it would go to"
    console.print(Text(printable(f"{verb} {where} ({kind})")), soft_wrap=True)
