"""``unlearnkit inspect``: finds the decoder blocks that still carry forget rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table
from rich.text import Text

from unlearnkit.cli import console
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.targets import target_of_run
from unlearnkit.cli.verbs.base import call
from unlearnkit.errors import UserError
from unlearnkit.plain import number, spaced
from unlearnkit.redact import printable

if TYPE_CHECKING:
    from unlearnkit.inspection.kept import Inspection

HELP = "Say in which decoder blocks a run's model still carries the forget rows."
_MOST_WEIGHTS = 8
_NORMAL_ROWS = 64


def command(argv: list[str]) -> None:
    """Inspects the run that the words name."""
    call(inspect, argv, "inspect")


def inspect(
    run: str,
    gold: str | None = None,
    limit: int = 32,
    tuned_steps: int = 100,
    batch_size: int = 8,
) -> None:
    """Say in which decoder blocks a run's model still carries the forget rows, against gold.

    The unlearning depth score is 1 where all blocks that carried a row are like the gold model's,
    and 0 where only the answer is another. The result is kept in inspection/depth.json of the run.

    Args:
        run: Run folder.
        gold: A model that never saw the forget set; by default that of the run's recipe.
        limit: Rows at most, evenly spaced.
        tuned_steps: Steps in which the tuned lens learns from the recipe's normal rows; 0 leaves
            it out.
        batch_size: Rows that go through the models at once.
    """
    for name, value in (("limit", limit), ("batch_size", batch_size)):
        if value < 1:
            raise UserError(f"--{name}: expected at least 1, found {value}", title="usage")
    if tuned_steps < 0:
        raise UserError(f"--tuned_steps: expected 0 or more, found {tuned_steps}", title="usage")
    with heavy_imports():
        from unlearnkit.inspection.kept import inspect_and_keep, refuse_no_gold
        from unlearnkit.models.base import BaseModel
        from unlearnkit.runs import load_run
        from unlearnkit.runs.evaluate import refuse_other_models
        from unlearnkit.suites.parts.probes import KEPT_NAMES

    target, folder, after, known = target_of_run(run, (), None)
    chosen = gold or known
    refuse_no_gold(chosen)
    before = BaseModel.from_recipe(load_run(run).base)
    refuse_other_models(after, target.tokenizer, gold=chosen)
    rows = spaced(target.examples, limit)
    kept = (target.context.data.get(name) for name in KEPT_NAMES.values())
    normal = spaced([row for stream in kept if stream for row in stream.examples()], _NORMAL_ROWS)
    with console.err().status("") as status:
        found = inspect_and_keep(
            before,
            after,
            chosen,
            rows,
            folder / "inspection",
            normal=normal,
            tuned_steps=tuned_steps,
            batch_size=batch_size,
            on_model=lambda name: status.update(f"inspect: {name}"),
        )
    show(found)


def show(found: Inspection) -> None:
    """A line for each block, what the lenses read, the weights that moved, and a sentence."""
    out, depth = console.out(), found.depth
    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("block", "rows it carried", "gone of it"):
        table.add_column(heading, justify="right")
    for block, gone in enumerate(depth.by_block):
        carried = sum(row[block] > depth.tau for row in depth.gold)
        table.add_row(str(block), f"{carried} of {len(depth.gold)}", number(gone))
    out.print(table)
    for lens, curves in found.lenses.items():
        out.print(_lens_table(lens, curves))
    for note in found.notes:
        out.print(f"left out: {note}")
    moved = Table(box=box.SIMPLE_HEAD)
    moved.add_column("weight", overflow="fold")
    for heading in ("change", "entries"):
        moved.add_column(heading, justify="right", no_wrap=True)
    for each in found.moved[:_MOST_WEIGHTS]:
        share = f"{100 * each.share:.0f} %"
        moved.add_row(Text(printable(each.name)), f"{each.relative:.2g}", share)
    out.print(moved)
    if len(found.moved) > _MOST_WEIGHTS:
        out.print(f"and {len(found.moved) - _MOST_WEIGHTS} further weights", style="dim")
    out.print(f"unlearning depth score: {number(depth.score)}")
    out.print(depth.sentence)
    out.show_line(found.path, style="dim")


def _lens_table(lens: str, curves: Mapping[str, Sequence[float]]) -> Table:
    """Nats a token that the true answers cost, read out of each block."""
    table = Table(box=box.SIMPLE_HEAD, caption=f"log p of the true answer by the {lens} lens")
    table.add_column("block", justify="right")
    for model in curves:
        table.add_column(model, justify="right")
    for block, values in enumerate(zip(*curves.values(), strict=True)):
        table.add_row(str(block), *map(number, values))
    return table
