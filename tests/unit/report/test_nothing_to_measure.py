"""A figure that could not be measured is null with a note, in files, tables and reports."""

from __future__ import annotations

import json
import math

import pytest
from stub import save_stub

from unit.report.run_folder import SUITES, stages, write_run
from unlearnkit.callbacks import EvaluateEvery
from unlearnkit.cli import console
from unlearnkit.cli.tables import show_evaluations
from unlearnkit.cli.verbs.compare import show
from unlearnkit.files import write_json, write_rows
from unlearnkit.runs import RunSummary, report
from unlearnkit.runs.compare import compare
from unlearnkit.runs.evaluate import evaluate, read_evaluation, rows_file
from unlearnkit.suites import Copyright, SuiteContext
from unlearnkit.suites.base import SuiteResult

NOTE = "forget/leak_rate: 2 of 2 rows are left out: the true text has fewer than four tokens"
BOTH = "forget: 1 of 2 texts is cut at max_length 8, which leaves out 3 of 9 tokens"
RESULTS = {
    "before": {"copyright": SuiteResult({"forget/leak_rate": None}, [], notes=[BOTH, NOTE])},
    "after": {"copyright": SuiteResult({"forget/leak_rate": 0.5}, [], notes=[BOTH])},
}


def test_a_summary_has_null_and_the_notes(tmp_path, capsys):
    summary = RunSummary("r", 1, 2, None, tmp_path)
    assert "notes" not in summary.as_json()
    found = stages()
    found.results = RESULTS
    summary.suites, summary.notes = found.metrics, found.notes
    write_json(tmp_path / "summary.json", summary.as_json())
    kept = json.loads((tmp_path / "summary.json").read_text(), parse_constant=pytest.fail)
    assert kept["suites"]["copyright"]["before"] == {"forget/leak_rate": None}
    assert kept["notes"] == {"copyright": {"before": [BOTH, NOTE], "after": [BOTH]}}
    console.show_summary(summary)
    said = " ".join(capsys.readouterr().out.split())
    assert said.count(f"note: copyright: {BOTH}") == 1
    assert said.count(f"note: copyright: {NOTE}") == 1


def test_json_has_no_nan_and_no_infinity(tmp_path):
    rows = [{"a": math.nan, "b": {"c": [math.inf, 1.0]}}]
    write_rows(tmp_path / "rows.jsonl", rows)
    assert (tmp_path / "rows.jsonl").read_text() == '{"a": null, "b": {"c": [null, 1.0]}}\n'


def test_an_evaluation_keeps_null_and_notes_and_shows_them_again(tmp_path, capsys):
    base = str(save_stub(None, tmp_path / "stub"))
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt": "c", "response": "ab"}\n')
    suite = Copyright(str(path), str(path), str(path))
    context = SuiteContext(max_length=3)
    for _ in range(2):
        found = evaluate(base, [suite], tmp_path / "out", context=context, device="cpu")
        show_evaluations(found)
        said = " ".join(capsys.readouterr().out.split())
        assert "forget/leak_rate - -" in said
        assert "note: forget: 1 of 1 texts is cut at max_length 3, which leaves out 1 of 3" in said
        assert "note: forget/leak_rate: 1 of 1 rows is left out" in said
    assert found[0].reused
    kept = json.loads(found[0].path.read_text(), parse_constant=pytest.fail)
    assert kept["values"]["forget/leak_rate"] is None
    assert "forget/leak_rate" not in kept["intervals"]
    row = json.loads(rows_file(found[0].path).read_text().splitlines()[0])
    assert row["bleu"] is None
    again = read_evaluation(found[0].path)
    assert again is not None
    assert again.notes == found[0].evaluation.notes


def test_runs_are_compared_by_what_was_measured(tmp_path, capsys):
    null = {"before": SUITES["copyright"]["before"], "after": {"forget/rougeL_recall": None}}
    for name, suite in (("a", SUITES["copyright"]), ("b", null)):
        folder = write_run(tmp_path / name / "copyright" / "1", suites={"copyright": suite}, seed=1)
        recipe = folder / "recipe.yaml"
        recipe.write_text(recipe.read_text() + f"# {name}\nn: {name}\n")
    comparison = compare([tmp_path / "a", tmp_path / "b"])
    row = "copyright/forget/rougeL_recall"
    means = [column.metrics[row].mean for column in comparison.columns if column.ranked]
    assert means[0] == pytest.approx(0.1)
    assert math.isnan(means[1])
    assert comparison.best(row) == ()
    for form in ("json", "csv", "md", "table"):
        show(comparison, form)
        assert "nan" not in capsys.readouterr().out.lower()


def test_seeds_without_a_value_are_no_part_of_the_mean(tmp_path):
    for seed, value in enumerate((0.2, None, 0.4)):
        suites = {"copyright": {"after": {"forget/leak_rate": value}}}
        write_run(tmp_path / "copyright" / str(seed), suites=suites, seed=seed)
    (column,) = compare([tmp_path]).columns
    figure = column.metrics["copyright/forget/leak_rate"]
    assert (figure.mean, figure.count) == (pytest.approx(0.3), 2)


def test_a_report_shows_a_dash_and_the_notes_once(tmp_path):
    suites = {
        when: {**values, "forget/leak_rate": None} for when, values in SUITES["copyright"].items()
    }
    notes = {"copyright": {"before": [NOTE, BOTH], "after": [NOTE]}}
    run = write_run(tmp_path / "copyright" / "1", suites={"copyright": suites}, notes=notes)
    html = report.report(run).read_text()
    assert html.count(NOTE) == html.count(BOTH) == 1
    row = html[html.index("forget/leak_rate</th>") :].partition("</tr>")[0]
    assert row.count("<td>–</td>") == 3


def test_a_score_of_what_cannot_be_measured_is_none():
    callback = EvaluateEvery(score=["copyright/normal/distinct_2"])
    callback.suites = [Copyright()]
    assert callback._score({"copyright/normal/distinct_2": None}) is None
