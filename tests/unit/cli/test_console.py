"""A warning is folded between words, and never within a path."""

from __future__ import annotations

import pytest

from unlearnkit.cli.console import warn

LONG = "/runs/" + "a-folder-of-a-run/" * 6 + "step=3.ckpt"


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_a_path_stays_whole(columns, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    warn(f"the last checkpoint is {LONG}. Continue with the same command and\n  --ckpt_path last")
    said = capsys.readouterr().err
    assert f"{LONG}." in said
    assert all(len(line) <= int(columns) for line in said.splitlines() if LONG not in line)
    assert said.startswith("warning: the last checkpoint is")
    assert "\n  --ckpt_path last\n" in said
