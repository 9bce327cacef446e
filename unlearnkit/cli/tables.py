"""Tables of evaluations and comparisons at the shell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from unlearnkit.cli.console import out
from unlearnkit.text import printable

if TYPE_CHECKING:
    from unlearnkit.cli.attacking import Attacked
    from unlearnkit.runs.scored import Found


def show_evaluations(found: Sequence[Found], gold: Sequence[Found] = ()) -> None:
    """A table a suite: figure and interval; what is missing and why; where the rows are.

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
        table.add_column("figure", no_wrap=True)
        table.add_column("value", justify="right")
        table.add_column("95 % interval", justify="right")
        if gold:
            table.add_column("gold", justify="right")
        for name, value in evaluation.values.items():
            low, high = evaluation.intervals.get(name, (math.nan, math.nan))
            interval = "-" if math.isnan(low) else f"{figure(low)} to {figure(high)}"
            others = [figure(beside[evaluation.suite].get(name))] if gold else []
            table.add_row(Text(name), figure(value), interval, *others)
        console.print(table)
        for name, reason in evaluation.missing.items():
            console.print(Text.assemble(("left out: ", "yellow"), f"{name} ({printable(reason)})"))
        when = f"unchanged since {evaluation.created}" if each.reused else evaluation.created
        console.print(Text(f"{each.path} ({when})"), soft_wrap=True)


def figure(value: float | None) -> str:
    """A figure with three decimals; a dash for none."""
    if value is None or math.isnan(value):
        return "-"
    return f"{value:.3f}" if abs(value) < 1e4 else f"{value:.3g}"


def show_attack(attacked: Attacked) -> None:
    """A line for each figure and model, a column for each measurement."""
    first = next(iter(attacked.curves.values()))
    by = next(iter(first[0]))
    table = Table(title=f"{attacked.kind}, by {by}", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("figure", no_wrap=True)
    table.add_column("model", no_wrap=True)
    for measured in first:
        table.add_column("as it is" if measured[by] is None else str(measured[by]), justify="right")
    for name in (name for name in first[0] if name != by):
        for model, curve in attacked.curves.items():
            table.add_row(Text(name), model, *(figure(measured[name]) for measured in curve))
    console = out()
    console.print(table)
    console.print(Text(str(attacked.path)), soft_wrap=True)
