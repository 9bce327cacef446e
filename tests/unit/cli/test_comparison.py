from __future__ import annotations

import re
from pathlib import Path

import pytest

from unlearnkit.cli.comparison import latex, show_table
from unlearnkit.suites.meaning import Meaning
from unlearnkit.verdict.compared import Column, Comparison, OverSeeds

ADDRESS = "copyright/forget/rougeL_recall"
LONG = "copyright, forget.weight={}, optimizer.lr=0.0001, retain.weight=2"


def comparison(count, name=LONG):
    columns = [
        Column(name.format(i), (Path("a"), Path("b")), {ADDRESS: OverSeeds(i / 10, 0.01, 2)},
               verdict="near gold" if i else "collapsed")
        for i in range(count)
    ]  # fmt: skip
    gold = Column("gold", (), {ADDRESS: OverSeeds(0.1, None, 1)}, ranked=False)
    return Comparison((gold, *columns), {ADDRESS: Meaning("forget", "down", 3)})


def test_the_best_value_is_marked_where_nothing_is_bold(monkeypatch, capsys):
    show_table(comparison(3))
    shown = capsys.readouterr().out
    assert "* 0.000 ± 0.010" in shown or "* 0.100 ± 0.010" in shown
    assert shown.count("* 0.") == 1
    assert "* is the best value." in shown
    assert "bold" not in shown
    monkeypatch.setenv("FORCE_COLOR", "1")
    show_table(comparison(3))
    shown = capsys.readouterr().out
    assert "Best values are bold." in shown
    assert "* 0." not in shown


@pytest.mark.parametrize("width", [80, 200])
def test_many_columns_are_readable_at_any_width(width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    show_table(comparison(12))
    shown = capsys.readouterr().out
    assert all(len(line) <= width for line in shown.splitlines() if "copyright, " not in line)
    # No value is cut or folded, and each table has its rows' names.
    for i in range(1, 12):
        assert f"{i / 10:.3f} ± 0.010" in shown
    assert "…" not in shown
    assert shown.count("near gold") == 11
    assert (
        shown.count("forget/rougeL_recall") == shown.count("verdict") == (5 if width == 80 else 2)
    )
    assert f"1: {LONG.format(0)} (2 seeds)" in " ".join(shown.split())


def of(name, *settings, value=0.3):
    return Column(name, (Path(name),), {ADDRESS: OverSeeds(value, None, 1)}, settings=settings)


def test_runs_are_headed_by_the_few_settings_that_tell_them_apart(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")

    def shown(*columns):
        show_table(Comparison(columns, {ADDRESS: Meaning("forget", "down", 3)}))
        return capsys.readouterr().out

    key = "model.optimizer.lr"
    one, two = (of(f"copyright, {key}={lr}", (key, lr)) for lr in ("0.001", "0.002"))
    out = shown(one, two)
    assert re.search(r"^ +lr=0.001 +lr=0.002 *$", out, re.M)
    assert "lr=0.002: copyright, model.optimizer.lr=0.002\n" in out
    # Recipes of other names, and names of the user's own, say below what they differ in.
    out = shown(of("slow", (key, "0.001")), of("fast", (key, "0.002")))
    assert re.search(r"^ +slow +fast *$", out, re.M)
    assert "slow: model.optimizer.lr=0.001\nfast: model.optimizer.lr=0.002\n" in out
    # Keys of one end are told by more of it, and what is too long for a heading by numbers.
    forget, retain = (f"model.objectives.{each}.weight" for each in ("forget", "retain"))
    name = "copyright, with a long name of its own {}"
    out = shown(of(name.format(1), (forget, "1")), of(name.format(2), (retain, "2")))
    assert "retain.weight=2" not in out.partition("verdict")[0].splitlines()[1]
    assert "1: copyright, with a long name of its own 1, model.objectives.forget.weight=1" in (
        " ".join(out.split())
    )
    # One setting is no name where two runs have it.
    out = shown(one, of(f"mine, {key}=0.001", (key, "0.001")))
    assert re.search(r"^ +1 +2 *$", out, re.M)


def test_short_names_stand_above_their_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "100")
    show_table(comparison(2, "npo{}"))
    shown = capsys.readouterr().out
    assert "npo1 (2 seeds)" in shown
    assert "1: npo" not in shown


def test_latex_is_escaped_and_has_a_key():
    text = latex(comparison(3, "a_b & {}% of a long name"))
    assert text.startswith("% 1: a_b & 0% of a long name (2 seeds)\n")
    assert " & gold & 1 & 2 & 3 \\\\\n\\midrule" in text
    assert r"forget/rougeL\_recall & 0.100 & 0.000 $\pm$ 0.010 & \textbf{0.100 $\pm$ 0.010}" in text
    assert text.count("\\begin{tabular}{lrrrr}") == text.count("\\end{tabular}") == 1
    assert r" & gold & a\_\&0 (2 seeds) \\" in latex(comparison(1, "a_&{}"))
