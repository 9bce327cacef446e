from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from unlearnkit.cli.verbs.compare import show
from unlearnkit.runs.compare import Column, Comparison, OverSeeds
from unlearnkit.suites.meaning import Meaning

NAMES = ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", " =1", "<img src=x>", "a\x1b[2J\u202eb"]
LABEL = "=HYPERLINK(1)/f/<b>nll</b>|x"


def comparison() -> Comparison:
    columns = [Column(n, (Path(n),), {LABEL: OverSeeds(-0.5, None, 1)}) for n in NAMES]
    return Comparison(tuple(columns), {LABEL: Meaning("forget", None)})


def test_texts_of_a_csv_are_no_formulas_and_numbers_stay_numbers(capsys) -> None:
    show(comparison(), "csv")
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))[1:]
    assert [row[1] for row in rows] == [
        "'=cmd|' /C calc'!A0", "'+1", "'-1", "'@SUM(A1)", "' =1", "<img src=x>",
        "a\\x1b[2J\\u202eb",
    ]  # fmt: skip
    assert {row[2] for row in rows} == {"-0.5"}


def test_texts_of_a_markdown_table_are_no_html_and_no_columns(capsys) -> None:
    show(comparison(), "md")
    heading, line, row = capsys.readouterr().out.splitlines()
    assert "&lt;img src=x&gt;" in heading
    assert "\\\\x1b\\[2J\\\\u202eb" in heading
    assert [cell.strip() for cell in heading.split("|")[2:3]] == ["\\=cmd\\"]
    for cell in ("\\+1", "\\-1", "\\@SUM(A1)", "\\=1"):
        assert f"| {cell} |" in heading
    assert line == "| --- |" + " ---: |" * len(NAMES)
    assert row.startswith("| f/&lt;b&gt;nll&lt;/b&gt;\\|x | -0.5")


NOTE = "The runs were measured on different rows of f: these values cannot be compared"


@pytest.mark.parametrize("form", ["table", "md", "json", "latex"])
def test_why_values_cannot_be_compared_stands_in_each_format(form, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    found = replace(
        comparison(), metrics={"a/f/m": Meaning("forget", None)}, unlike=frozenset({"a/f"})
    )
    show(found, form)
    shown = capsys.readouterr().out
    assert NOTE in shown
    if form == "json":
        assert json.loads(shown)["notes"][0].startswith(NOTE)
    if form == "latex":
        assert f"\n% {NOTE}" in f"\n{shown}"


def test_a_suite_of_several_begins_no_formula(capsys) -> None:
    metrics = {LABEL: OverSeeds(1.0, None, 1), "tofu/f/m": OverSeeds(2.0, None, 1)}
    meaning = Meaning("forget", None)
    found = Comparison((Column("npo", (), metrics),), dict.fromkeys(metrics, meaning))
    show(found, "csv")
    assert "'=HYPERLINK(1)/f/" in capsys.readouterr().out
