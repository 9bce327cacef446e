"""Prints to the terminal; text of models and data stays text."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from textwrap import fill
from typing import TYPE_CHECKING, Any

from rich import box
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.live import Live
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from unlearnkit.plain import number
from unlearnkit.redact import one_line, printable, redacted
from unlearnkit.terminal import TextConsole

if TYPE_CHECKING:
    from unlearnkit.runs import RunSummary

_SHOWN_SAMPLES = 3
_PROMPT_WIDTH = 24
_LONGEST_TEXT = 100
_PROMPT_END = 64
_TWO_COLUMNS = 80
_SIDES = 4  # columns that the sides of a box take
# A path that the terminal itself continues on its next line can be copied; rich would cut it.
_whole = partial(fill, break_long_words=False, break_on_hyphens=False)
_ANY_SUITE = "copyright"
"""The suite that reads any recipe's forget and retain rows."""


def out() -> TextConsole:
    """The console for results."""
    return TextConsole()


def err() -> TextConsole:
    """The console for errors and warnings."""
    return TextConsole(stderr=True)


def panel(message: str, *, title: str, hint: str | None = None) -> None:
    """Shows an error in a box, without secrets; a path in it stays whole.

    A box in which a path would be cut has no sides.
    """
    console, advice = err(), printable(redacted(hint or ""))
    lines = printable(redacted(message)).splitlines()
    words = [word for line in [*lines, advice] for word in line.split()]
    if max(map(cell_len, words), default=0) + _SIDES <= console.width:
        content = [*map(_indented, lines), *([Text(), Text(advice, style="dim")] if hint else [])]
        console.print(_panel(Group(*content), title, border_style="red"))
        return
    console.rule(Text(one_line(title)), align="left", style="red")
    for line in lines:
        indent = line[: len(line) - len(line.lstrip(" "))]
        console.print(_whole(line, console.width, subsequent_indent=indent), soft_wrap=True)
    if hint:
        folded = (_whole(line, console.width) for line in advice.splitlines())
        console.print(Text("\n" + "\n".join(folded), style="dim"), soft_wrap=True)
    console.rule(style="red")


def warn(message: str, word: str = "warning") -> None:
    """Shows a warning, in a line of its own, without secrets; a path in it stays whole.

    Args:
        message: What is said.
        word: What it begins with.
    """
    console = err()
    start = f"{word}: "
    lines = f"{start}{printable(redacted(message))}".splitlines()
    text = Text("\n".join(_whole(line, console.width) for line in lines))
    text.stylize("yellow", 0, len(start))
    console.print(text, soft_wrap=True)


def show_summary(summary: RunSummary) -> None:
    """One table: metrics before and after, then generations side by side."""
    console = out()
    phases = ["before", "after"]
    if any("gold" in stages for stages in summary.suites.values()):
        phases.append("gold")
    table = Table(
        title=f"{summary.recipe}, seed {summary.seed}", box=box.SIMPLE_HEAD, title_justify="left"
    )
    metrics = [m for stages in summary.suites.values() for m in _metrics(stages)]
    # Rich cuts the last column off where a column has a least width and others have shares.
    least = max([_PROMPT_WIDTH, *map(len, metrics)])
    table.add_column("", width=max(least, console.width // 4), overflow="fold")
    for phase in phases:
        table.add_column(phase, overflow="fold")
    for suite, stages in summary.suites.items():
        table.add_row(Text(suite, style="bold"))
        for metric in _metrics(stages):
            values = [stages.get(phase, {}).get(metric) for phase in phases]
            table.add_row(Text(metric), *map(number, values))
    if summary.samples:
        table.add_section()
        headings = ("prompt", "before", "after", "true text")[: len(phases) + 1]
        table.add_row(*(Text(word, style="bold") for word in headings), end_section=True)
    for sample in summary.samples[:_SHOWN_SAMPLES]:
        texts = (sample.prompt, sample.before, sample.after, sample.reference)
        cells = (_short_prompt(texts[0]), *map(_short, texts[1 : len(phases) + 1]))
        table.add_row(*cells, end_section=True)
    if table.row_count:
        console.print(table)
    for suite, by_when in summary.notes.items():
        # Most are the same before and after.
        show_notes(dict.fromkeys(f"{suite}: {n}" for notes in by_when.values() for n in notes))
    how = f"{summary.steps} steps in {summary.seconds:.0f} s"
    if summary.stopped_by:
        how += f", stopped by {summary.stopped_by}"
    console.print(Text(printable(how)))
    if not summary.suites:
        console.print(
            "no suite was run, so what it forgot and what it cost is not known: add "
            f"evaluate: [{_ANY_SUITE}] to the recipe, or",
        )
        console.show_line(f"unlearnkit evaluate {summary.folder} --suite {_ANY_SUITE}")
    console.show_line(f"run folder: {summary.folder}")
    if summary.report is not None:
        console.show_line(f"report: {summary.report}")


def show_notes(notes: Iterable[str]) -> None:
    """What was cut, and what a metric leaves out, one line each."""
    for note in notes:
        out().print(Text.assemble(("note: ", "yellow"), printable(note)))


def show_phase(name: str, what: str = "") -> None:
    """A heading for what follows of a phase."""
    out().rule(Text(printable(f"{name} {what}".strip())), align="left", style="dim")


def show_requests(curve: Sequence[dict[str, Any]], metric: str = "rougeL_recall") -> None:
    """One metric of all requests, before the first and after each; those to come in small."""
    if not curve:
        return
    keys = [name for name in curve[-1]["figures"] if name.endswith(f"/{metric}")]
    names = [name.rpartition("/")[0] for name in keys]
    table = Table(title=f"{metric} of each request", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("after")
    for name in names:
        table.add_column(Text(printable(name)), justify="right")
    done: set[str] = set()
    to_come = {point["after"] for point in curve}
    for point in curve:
        done.add(point["after"])
        values = [number(point["figures"].get(key)) for key in keys]
        styles = ["dim" if name in to_come - done else "" for name in names]
        cells = [Text(value, style=style) for value, style in zip(values, styles, strict=True)]
        table.add_row(Text(printable(point["after"] or "nothing")), *cells)
    out().print(table)


def show_data(facts: Sequence[tuple[str, str]], streams: Iterable[Sequence[Any]]) -> None:
    """What ``validate`` found.

    Args:
        facts: Names and values of the run.
        streams: Name, source, rows, tokens, dropped rows and rows per step of each stream.
    """
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("stream")
    table.add_column("source", overflow="fold")
    for heading in ("rows", "response tokens", "dropped", "rows per step"):
        table.add_column(heading, justify="right")
    for row in streams:
        table.add_row(*(Text(one_line(str(cell))) for cell in row))
    console = out()
    console.print(table)
    for name, value in facts:
        console.print(Text.assemble((f"{name}: ", "bold"), printable(value)))


def show_example(stream: str, source: str, prompt: Any, response: Any) -> None:
    """One row as the model sees it: ids and texts, the supervised part apart.

    Args:
        stream: The stream's name.
        source: Where the row was read from.
        prompt: Ids and text of the prompt.
        response: Ids and text of the response, the supervised part.
    """
    console = out()
    console.print(Text(f"\n{stream}: {one_line(source)}", style="bold"))
    for word, (ids, text), short, style in (
        ("prompt    ", prompt, _short_prompt, "dim"),
        ("supervised", response, _short, "green"),
    ):
        console.print(Text.assemble((f"  {word} ", "bold"), (short(text).plain, style)))
        console.print(Text(f"             {_ids(ids)}", style="dim"))


def show_list(rows: Iterable[tuple[str, str, str]]) -> None:
    """Names, what each is, and a remark in small."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="cyan")
    table.add_column()
    for name, what, remark in rows:
        table.add_row(Text(name), Text(printable(what)))
        if remark:
            table.add_row("", Text(printable(remark), style="dim"))
    out().print(table)


def show_generations(texts: Sequence[tuple[str, str]]) -> None:
    """Names of models, and what each said."""
    for name, text in texts:
        out().print(_panel(Text(printable(text)), name))


def show_answers(answers: Sequence[tuple[str, Iterable[str]]]) -> None:
    """Names of models, and what each says as it comes: a piece of each in turn.

    Two columns where there is room for them, else one below the other.
    """
    console, texts = out(), [""] * len(answers)

    def shown() -> RenderableType:
        panels = [
            _panel(Text(printable(text)), name)
            for (name, _), text in zip(answers, texts, strict=True)
        ]
        if console.width < _TWO_COLUMNS:
            return Group(*panels)
        table = Table.grid(expand=True)
        for _ in answers:
            table.add_column(ratio=1)
        table.add_row(*panels)
        return table

    if not console.is_terminal:
        for place, texts[place] in _in_turn([pieces for _, pieces in answers]):  # noqa: B007
            pass
        console.print(shown())
        return
    with Live(console=console, auto_refresh=False, vertical_overflow="visible") as live:
        for place, texts[place] in _in_turn([pieces for _, pieces in answers]):  # noqa: B007
            live.update(shown(), refresh=True)


def _in_turn(answers: Sequence[Iterable[str]]) -> Iterator[tuple[int, str]]:
    """Place and text of one answer after the other, until all have ended."""
    waiting = deque(enumerate(map(iter, answers)))
    while waiting:
        place, pieces = waiting.popleft()
        for text in pieces:
            yield place, text
            waiting.append((place, pieces))
            break


def _panel(content: RenderableType, title: str, border_style: str = "none") -> Panel:
    # A title that is no Text is markup on any console.
    return Panel(
        content,
        title=Text(one_line(title)),
        title_align="left",
        border_style=border_style,
        box=box.ROUNDED,
    )


def _indented(line: str) -> Padding:
    """A line whose indentation is kept where it wraps."""
    return Padding(Text(line.lstrip(" ")), (0, 0, 0, len(line) - len(line.lstrip(" "))))


def _metrics(stages: Mapping[str, Mapping[str, float | None]]) -> list[str]:
    """All metrics of a suite, those of a stream together."""
    names = dict.fromkeys(metric for values in stages.values() for metric in values)
    streams = list(dict.fromkeys(name.partition("/")[0] for name in names))
    return sorted(names, key=lambda name: streams.index(name.partition("/")[0]))


def _short(text: str) -> Text:
    shown = printable(text).replace("\n", "⏎")
    return Text(shown if len(shown) <= _LONGEST_TEXT else f"{shown[:_LONGEST_TEXT]} ...")


def _short_prompt(text: str) -> Text:
    """Its end too: of a chat model's prompts the beginning is the same system turn in all."""
    shown = printable(text).replace("\n", "⏎")
    shorter = f"{shown[: _LONGEST_TEXT - _PROMPT_END]} ... {shown[-_PROMPT_END:]}"
    return Text(min(shown, shorter, key=len))


def _ids(ids: Sequence[int], most: int = 24) -> str:
    return " ".join(map(str, ids[:most])) + (f" ... ({len(ids)})" if len(ids) > most else "")
