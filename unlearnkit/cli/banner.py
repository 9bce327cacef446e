"""The summary that ``fit`` prints before it trains."""

from __future__ import annotations

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from unlearnkit.cli import console
from unlearnkit.errors import optional
from unlearnkit.redact import printable
from unlearnkit.runs.start import Batches, Start


def show_start(start: Start) -> None:
    """Model, losses, rows, steps, device and folder of a run, one line each."""
    with optional("the overview of the run"):
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for heading, value in _lines(start):
            table.add_row(heading, Text(printable(value)))
        console.err().print(table, style="dim")


def in_parts(batches: Batches) -> str:
    """The factors of a step's rows: ``2 × 4 accumulated × 1 process``.

    Where an epoch has fewer rows: ``all of an epoch, fewer than 2 × 4 accumulated × 1 process``.
    """
    processes = "process" if batches.processes == 1 else "processes"
    parts = (
        f"{batches.batch_size} × {batches.accumulate} accumulated × {batches.processes} {processes}"
    )
    room = batches.batch_size * batches.accumulate * batches.processes
    return parts if batches.effective_batch == room else f"all of an epoch, fewer than {parts}"


def in_streams(cut: Mapping[str, object]) -> str:
    """What the maximal length took away from each stream that lost something."""
    return "; ".join(f"{name} {told}" for name, told in cut.items())


def _lines(start: Start) -> list[tuple[str, str]]:
    batches = start.batches
    share = f"{start.trained:,} of {start.parameters:,} parameters trained"
    reference = start.reference or "not needed"
    terms = [
        f"{term.weight:g} · {_named(key, term.objective)} on {', '.join(term.streams)}"
        for key, term in start.objectives.items()
    ]
    rows = [f"{name} {rows} ({_share(batches, name)})" for name, rows in start.rows.items()]
    if batches.total_steps is None:
        steps = f"{batches.steps_per_epoch} an epoch, until the clock stops it"
    else:
        steps = f"{batches.total_steps} in all, {batches.steps_per_epoch} an epoch"
    kernel = f"; attention by {start.attention}" if start.attention else ""
    lines = [
        ("model", f"{start.model}: {share}; reference {reference}"),
        ("layout", f"{start.layout}: {start.layout_reason}{kernel}"),
        ("objectives", " + ".join(terms)),
        ("rows", f"{', '.join(rows)}; effective batch {batches.effective_batch} = "
                 f"{in_parts(batches)}"),
        ("steps", f"{steps}; warm-up {batches.warmup_steps}, then {start.schedule}"),
        ("on", f"{start.device}, {start.strategy}, precision {start.precision}, "
               f"weights {start.dtype}{_emulated(start)}"),
        ("folder", str(start.folder)),
    ]  # fmt: skip
    if start.cut:
        lines.insert(4, ("cut", f"at data.max_length: {in_streams(start.cut)}"))
    if start.ckpt_path is not None:
        lines.append(("continues from", start.ckpt_path))
    return lines


def _emulated(start: Start) -> str:
    return "; without AVX-512 float32 is faster" if start.emulated else ""


def _share(batches: Batches, stream: str) -> str:
    rows = batches.rows_per_step.get(stream)
    return "not trained on" if rows is None else f"{rows} a step"


def _named(key: str, objective: str) -> str:
    return objective if key == objective else f"{key} ({objective})"
