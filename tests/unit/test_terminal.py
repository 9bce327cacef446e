"""Names and texts reach the terminal as text, wherever in a table or panel they stand."""

from __future__ import annotations

import os
import sys

import pytest
from rich.panel import Panel
from rich.table import Table

from unlearnkit.terminal import TextConsole

HOSTILE = "[/red] [b]a\x1b[2J\u202e\x9b :warning:"


def test_no_part_of_a_table_or_panel_is_markup_or_control(capsys) -> None:
    console = TextConsole()
    table = Table(HOSTILE, title=HOSTILE, caption=HOSTILE, min_width=70)
    table.add_row(HOSTILE)
    for each in (HOSTILE, table, Panel(HOSTILE)):
        console.print(each, soft_wrap=True)
    console.rule(HOSTILE)
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "\u202e" not in said
    assert "\x9b" not in said
    assert said.count("[b]a\\x1b[2J\\u202e\\x9b :warning:") == 7


def test_a_name_is_one_line(capsys) -> None:
    TextConsole().show_line("a\nwarning: done\x1b.jsonl")
    assert capsys.readouterr().out == "a\\nwarning: done\\x1b.jsonl\n"


def test_styles_are_still_shown(monkeypatch, capsys) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    TextConsole().print("a\x1b[2J", style="bold")
    assert capsys.readouterr().out == "\x1b[1ma\\x1b[2J\x1b[0m\n"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_goes_away_ends_nothing(monkeypatch, stream) -> None:
    read, write = os.pipe()
    with os.fdopen(write, "w") as broken:
        monkeypatch.setattr(sys, stream, broken)
        os.close(read)
        for _ in range(2):  # the next console finds nobody either
            TextConsole(stderr=stream == "stderr").print("a")
