"""What the pictures of the documentation are made of; tests/browser takes them."""

from __future__ import annotations

import subprocess
from types import SimpleNamespace

from unit.report.run_folder import write_run

from tools import screenshots
from unlearnkit.cli.main import main
from unlearnkit.runs.report import report


def test_the_terminal_is_of_80_columns_and_tells_no_time(monkeypatch):
    def ran(line, env, **_):
        assert line[1:] == ["-m", "unlearnkit", "fit", "-r", "copyright"]
        assert env["COLUMNS"] == "80"
        return SimpleNamespace(stdout="80 steps in 32 s\nverdict: near gold\n")

    monkeypatch.setattr(subprocess, "run", ran)
    assert screenshots.command("fit", "-r", "copyright") == "80 steps\nverdict: near gold\n"


def test_the_last_lines_of_a_terminal_are_drawn_without_fonts_of_others():
    lines = [f"line{i}" for i in range(60)]
    drawn = screenshots.terminal("\n".join(lines) + "\n\n", "unlearnkit fit")
    assert "@font-face" not in drawn
    assert "url(http" not in drawn
    shown = [line for line in lines if f">{line}<" in drawn]
    assert shown == lines[-screenshots.LINES :]


def test_two_recipes_are_trained_and_compared(tmp_path, monkeypatch):
    trained = []

    def command(verb, *words):
        if verb == "compare":
            assert main([verb, *words]) == 0
            return ""
        _, recipe, _, runs, *options = words
        trained.append((recipe, options))
        folder = write_run(tmp_path / "runs" / recipe / "now", recipe=recipe)
        return f"run folder: {runs}/{recipe}/now\nreport: {report(folder)}\n"

    monkeypatch.setattr(screenshots, "command", command)
    shown, page, picture = screenshots.inputs(tmp_path, "--trainer.max_steps", "2")
    assert trained == [(r, ["--trainer.max_steps", "2"]) for r in ("copyright", "methods/npo")]
    assert shown.startswith("run folder: runs/copyright/now\n")
    assert str(tmp_path) not in shown
    assert page == tmp_path / "runs" / "copyright" / "now" / "report.html"
    assert picture.read_text("utf-8").startswith("<svg")
    assert "2 runs compared" in (tmp_path / "compared.html").read_text("utf-8")


def test_the_pictures_are_there_and_small():
    for name in screenshots.MADE:
        assert 0 < (screenshots.IMAGES / name).stat().st_size <= screenshots.MOST
