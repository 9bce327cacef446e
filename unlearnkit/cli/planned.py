"""Shows a run's plan at the shell, and what it downloads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

from rich import box
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

from unlearnkit.cli.console import out
from unlearnkit.cost.gpus import LARGEST_SHARE
from unlearnkit.cost.work import OF_BANDWIDTH, OF_PEAK
from unlearnkit.redact import printable

if TYPE_CHECKING:
    from unlearnkit.cost.memory import Memory
    from unlearnkit.runs.planning.downloads import Download
    from unlearnkit.runs.planning.plan import Plan

GIB = 2**30


def show_choices(choices: Mapping[str, tuple[str, Sequence[str]]]) -> None:
    """Choices of a recipe: the block that was taken of each, and all of them."""
    for name, (chosen, names) in choices.items():
        told = printable(f"{chosen}; of {', '.join(names)}")
        out().print(Text.assemble((f"choice {name}: ", "bold"), told))


def show_downloads(found: Sequence[Download], tasks: Sequence[str], offline: bool) -> None:
    """What a recipe reads of the Hub, and what of it is in the cache.

    Args:
        found: Its models and data sets.
        tasks: Tasks of lm-evaluation-harness.
        offline: Whether the Hub is not asked.
    """
    waiting = [each.found for each in found if not each.found.cached]
    unknown = any(each.size is None for each in waiting)
    what = "nothing, all of it is in the cache" if found else "nothing"
    if waiting:
        what = f"{len(waiting)} of {len(found)} ids of the Hub"
    if size := sum(each.size or 0 for each in waiting):
        most = "at least " if unknown else "at most " if any(e.at_most for e in waiting) else ""
        what += f", {most}{decimal(size)}"
    if offline and unknown:
        what += "; the Hub is not asked for sizes offline"
    _line(f"downloads: {what}", "downloads:")
    for each in found:
        _line(f"{each.repo}: {_state(each)}", f"{each.repo}:", 2)
        _line(f"for {', '.join(each.uses)}", indent=4)
    if tasks:
        told = "lm-evaluation-harness downloads their data when it first runs them"
        _line(f"tasks {', '.join(tasks)}: {told}", "tasks", 2)


def memory_text(memory: Memory, notes: Iterable[str], on_gpu: bool) -> str:
    """The estimate of a run's memory in one line."""
    where = "of a GPU" if on_gpu else "of main memory"
    told = f"{_gib(memory.peak)} GiB {where} at the peak, {memory.moment}"
    left_out = [note for note in notes if note.endswith("not counted")]
    return "; ".join([f"{told} (computed from config and rows)", *left_out])


def _state(download: Download) -> str:
    of = download.found
    size = "" if of.size is None else f", {'at most ' * of.at_most}{decimal(of.size)}"
    remark = f" ({of.remark})" if of.remark else ""
    return f"{'in the cache' if of.cached else 'to be downloaded'}{size}{remark}"


def _line(text: str, heading: str = "", indent: int = 0) -> None:
    """One line, or several of which the later are further in; an id stays whole."""
    first, later = " " * indent, " " * (indent + 2)
    width = out().width
    shown = Text(fill(printable(text), width, initial_indent=first, subsequent_indent=later,
                      break_long_words=False, break_on_hyphens=False))  # fmt: skip
    shown.stylize("bold", indent, indent + len(heading))
    out().print(shown, soft_wrap=True)


def show_plan(plan: Plan) -> None:
    """Tables of memory, disk and time, and what to change where it does not fit."""
    console, of = out(), plan.described
    gpu, run = of.machine.gpu, of.run
    world = run.shards * run.replicas
    spread = f"{world} x {gpu.name}" + (f" in {of.machine.nodes} nodes" * (of.machine.nodes > 1))
    how = f"fsdp2 over {run.shards}" if run.shards > 1 else "ddp" if run.replicas > 1 else "one GPU"
    how += f", {run.replicas} copies" if run.shards > 1 and run.replicas > 1 else ""
    console.print(
        f"{printable(of.shapes.name)}: {of.shapes.weights:,} weights on {spread}, {how}",
        soft_wrap=True,
    )  # fmt: skip
    trained = "all weights" if run.rank is None else f"an adapter of rank {run.rank}"
    parts = f"parts of at most {run.tokens} tokens, {run.predicted} of them responses"
    console.print(f"trained: {trained}; {parts}; {'; '.join(of.notes)}")
    _show("memory of a GPU", {**plan.memory.terms, "in all": plan.memory.peak})
    share = plan.memory.peak / gpu.bytes
    verdict = "it fits" if plan.fits else "it does not fit"
    console.print(
        f"{verdict}: {share:.0%} of {gpu.memory} GB, where {LARGEST_SHARE:.0%} may be taken; the "
        f"peak is {plan.memory.moment}",
        style="green" if plan.fits else "red",
    )
    _show("main memory of a node", plan.host)
    _show("disk of the run", plan.disk)
    _show_time(plan)
    _show_changes(plan)
    console.print(
        "All figures are reasoned: computed from config and rows, and measured on no GPU. Terms "
        "of memory are held within a tenth of measured peaks of tiny models on a CPU. "
        f"{gpu.name}: {gpu.source}.",
    )


def _show(title: str, terms: Mapping[str, float]) -> None:
    table = _table(title, "GiB")
    for name, size in terms.items():
        if size:
            table.add_row(name, _gib(size))
    out().print(table)


def _show_time(plan: Plan) -> None:
    table = _table("time", "")
    for name, seconds in plan.step.items():
        table.add_row(f"a step, by {name} alone", duration(seconds))
    table.add_row("a step", duration(plan.step_seconds))
    if plan.seconds is not None:
        table.add_row(f"all {plan.described.steps} steps", duration(plan.seconds))
    for name, seconds in plan.evaluation.items():
        text = "not known" if seconds is None else f"at most {duration(seconds)}"
        table.add_row(f"answers of {name}, each of {plan.models} models", text)
    out().print(table)
    out().print(
        f"supposed: {OF_PEAK:.0%} of the peak of products, {OF_BANDWIDTH:.0%} of bandwidths",
    )
    if plan.evaluated > plan.described.machine.gpu.room:
        what = "part of the model" if plan.apart else "whole model"
        instead = "leave out evaluate:, and measure the exported model"
        if plan.described.run.shards > 1 and not plan.apart:
            instead = "set trainer.strategy: {name: fsdp2, evaluation: sharded}"
        out().print(
            f"While suites run, a GPU would have to hold the {what}, "
            f"{_gib(plan.evaluated)} GiB: {instead}.",
            style="red",
        )


def _show_changes(plan: Plan) -> None:
    room = plan.described.machine.gpu.room
    if plan.changes:
        table = Table(title="what would save memory", box=box.SIMPLE_HEAD, title_justify="left")
        for name in ("setting", "costs"):
            table.add_column(name)
        for name in ("saves", "then", "fits"):
            table.add_column(name, justify="right", no_wrap=True)
        for each in plan.changes:
            mark = "yes" if each.peak <= room else "no"
            setting = Text(each.setting)
            table.add_row(setting, each.costs, _gib(each.saves), _gib(each.peak), mark)
        out().print(table)
    if plan.fits:
        return
    if plan.fitting is None:
        out().print("No change of these, nor all of them, makes it fit: take more or larger GPUs.")
        return
    settings, peak = plan.fitting
    out().print(f"It fits with these together, in {_gib(peak)} GiB:")
    for setting in settings:
        out().print(f"  {setting}", soft_wrap=True)


def duration(seconds: float) -> str:
    """A time in the unit that suits it.

    Example:
        >>> duration(0.0123), duration(75), duration(7500)
        ('12 ms', '75 s', '2.1 h')
    """
    if seconds < 1:
        return f"{seconds * 1000:.2g} ms" if seconds < 0.001 else f"{seconds * 1000:.0f} ms"
    if seconds < 300:
        return f"{seconds:.3g} s"
    return f"{seconds / 60:.0f} min" if seconds < 3600 else f"{seconds / 3600:.1f} h"


def _table(title: str, unit: str) -> Table:
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", show_header=bool(unit))
    table.add_column("")
    table.add_column(unit, justify="right", no_wrap=True)
    return table


def _gib(size: float) -> str:
    return f"{size / GIB:.0f}" if size >= 100 * GIB else f"{size / GIB:.3g}"
