"""Edits, adapters and other models are judged by what `evaluate` kept of them."""

from __future__ import annotations

import json
import math
import shutil

import pytest
from edited import (
    add_task_vectors,
    erase_model,
    lunar_model,
    o3_model,
    uld_model,
    whp_model,
)
from peft import LoraConfig, get_peft_model
from stub import save_stub, stub_tokenizer
from transformers import AutoModelForCausalLM

from unit.report.run_folder import write_run
from unlearnkit.data.example import Example
from unlearnkit.data.streams import QAStream
from unlearnkit.errors import UserError
from unlearnkit.report.contents import Contents
from unlearnkit.runs.compare import compare
from unlearnkit.runs.conclude import NO_BEFORE, conclusion_of
from unlearnkit.runs.evaluate import evaluate, results_of
from unlearnkit.runs.other.judged import Judged, judged
from unlearnkit.runs.report import read_contents, report
from unlearnkit.suites import Copyright, SuiteContext
from unlearnkit.suites.parts.digest import file_digest

ROWS = {"forget": [("a", "cd"), ("b", "ee")], "normal": [("c", "ab"), ("d", "ba")]}
EDITS = ("erase", "lunar", "negate", "o3", "uld", "whp")


def examples(*prompts):
    return [Example(tuple(p), (7, 8, 3), i, f"rows:{i + 1}") for i, p in enumerate(prompts)]


def adapter(base, out):
    config = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    get_peft_model(AutoModelForCausalLM.from_pretrained(base), config).save_pretrained(out)


def edit(kind):
    """Makes an edit of ``base`` under its name."""
    if kind == "erase":
        erase_model("base", examples((2, 7), (2, 8)), kind, k=2, separator=" ")
    elif kind == "lunar":
        forget, retain, refused = examples((4, 5), (5, 4)), examples((7, 8)), examples((9, 9))
        lunar_model("base", forget, retain, refused, kind, layer=1)
    elif kind == "negate":
        add_task_vectors("base", ["tuned"], -0.5, kind)
    elif kind == "o3":
        adapter("base", "a")
        o3_model(
            "base",
            ["a"],
            [[[4, 4, 5, 4], [4, 5, 5], [5, 4, 4, 4, 5], [4, 5]]],
            kind,
            gate="hard",
            threshold=1e-9,
        )
    else:
        {"uld": uld_model, "whp": whp_model}[kind]("base", "tuned", kind)


def evaluated(name, reference=None, **options):
    streams = {key: QAStream(f"{key}.jsonl") for key in ("forget", "normal")}
    suite = Copyright(**streams, heldout=None, neighbour=None, max_new_tokens=3, **options)
    context = SuiteContext(max_length=32)
    place = results_of(name)
    return evaluate(name, [suite], place, context=context, reference=reference, device="cpu")


@pytest.fixture
def models(tmp_path, monkeypatch):
    """The working directory, with a starting model that was evaluated and its finetune."""
    monkeypatch.chdir(tmp_path)
    for key, rows in ROWS.items():
        lines = (json.dumps({"prompt": p, "response": r}) + "\n" for p, r in rows)
        (tmp_path / f"{key}.jsonl").write_text("".join(lines))
    for seed, name in enumerate(("base", "tuned"), start=1):
        save_stub({"random_init": seed}, tmp_path / name)
    evaluated("base")
    return tmp_path


def values(name, file="copyright"):
    return json.loads((results_of(name) / f"{file}.json").read_text())["values"]


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_of_each_kind_is_judged_compared_and_shown(models, kind):
    edit(kind)
    evaluated(kind)
    found = judged(kind, before="base")
    suites = found.summary["suites"]["copyright"]
    assert suites == {"before": values("base"), "after": values(kind)}
    conclusion = conclusion_of(found, {"copyright/forget/nll": {"at_least": -1}})
    assert conclusion.verdict.name != "not judged"
    assert conclusion.goals[0].met
    columns = {each.name: each for each in compare([kind, "base"], before="base").columns}
    for name in (kind, "base"):
        for key, value in values(name).items():
            mean = columns[name].metrics[f"copyright/{key}"].mean
            # What could not be measured is missing, and no zero.
            assert math.isnan(mean) if value is None else mean == value
    html = report(kind, before="base").read_text(encoding="utf-8")
    assert f"<h1>{kind}</h1>" in html
    assert f">{conclusion.verdict.name}</strong>" in html


def test_an_adapter_is_judged(models):
    adapter("base", "a")
    stub_tokenizer().save_pretrained("a")
    evaluated("a")
    assert judged("a", "base").summary["suites"]["copyright"]["after"] == values("a")


def test_a_folder_of_results_needs_no_model(models):
    shutil.copytree(results_of("base"), "brought/evaluations")
    for folder in ("brought", "brought/evaluations"):
        assert judged(folder).summary["suites"]["copyright"]["after"] == values("base")


def test_without_the_starting_model_nothing_is_judged_and_it_says_why(models):
    found = conclusion_of(judged("base")).verdict
    assert (found.name, found.status, found.next) == ("not judged", "none", "")
    assert found.notes[0] == NO_BEFORE


def test_the_reference_of_an_evaluation_is_its_starting_model(models):
    evaluated("tuned", reference="base")
    assert judged("tuned").summary["suites"]["copyright"]["before"] == values("base")


def test_a_starting_model_of_other_rows_is_refused(models):
    evaluated("tuned", limit=1)
    with pytest.raises(UserError, match="base was evaluated on other rows"):
        judged("tuned", before="base")


@pytest.mark.parametrize("name", ["tuned", "tiny"])
def test_a_model_that_was_not_evaluated_says_how(models, name):
    with pytest.raises(UserError, match="holds no results of it") as caught:
        judged(name)
    assert f"unlearnkit evaluate {name}" in (caught.value.hint or "")
    with pytest.raises(UserError, match="not a finished run: there is no such folder"):
        judged("nowhere")


def test_results_of_a_model_that_changed_do_not_count(models):
    save_stub({"random_init": 5}, models / "base")
    with pytest.raises(UserError, match="holds no results of it that belong to it as it is now"):
        judged("base")


def test_a_run_stands_beside_a_model_and_what_one_lacks_is_missing(models):
    run = write_run(models / "runs" / "copyright" / "a")
    found = compare([run, "base"], names=["the run", "the model"])
    columns = {each.name: each for each in found.columns}
    assert {"the run", "the model"} <= columns.keys()
    assert "copyright/forget/nll" not in columns["the run"].metrics
    assert columns["the run"].metrics["copyright/forget/rougeL_recall"].mean == 0.1
    base = values("base")["forget/rougeL_recall"]
    assert columns["the model"].metrics["copyright/forget/rougeL_recall"].mean == base
    with pytest.raises(UserError, match=r"--before: .* is a run"):
        judged(run, before="base")


def test_a_model_that_says_nothing_is_collapsed(models):
    """Its answers are in the rows; the starting model's are beside it."""
    shutil.copytree("base", "mute")
    evaluated("tuned")
    for name, said in (("base", "a b c d"), ("tuned", "")):
        rows = results_of(name) / "copyright.rows.jsonl"
        lines = [json.loads(line) for line in rows.read_text().splitlines()]
        text = "".join(json.dumps(line | {"generated": said}) + "\n" for line in lines)
        rows.write_text(text)
        file = results_of(name) / "copyright.json"
        file.write_text(
            json.dumps(json.loads(file.read_text()) | {"rows_sha256": file_digest(rows)})
        )
    found = judged("tuned", before="base")
    assert found.summary["suites"]["fluency"]["before"]["kept/answer_length"] == 4.0
    assert found.summary["suites"]["fluency"]["after"]["kept/answer_length"] == 0.0
    assert conclusion_of(found).verdict.name == "collapsed"


def test_the_contents_hold_rows_of_each_model(models):
    evaluated("tuned")
    found = judged("tuned", before="base")
    assert isinstance(found, Judged)
    contents = read_contents(found)
    assert isinstance(contents, Contents)
    assert {row["when"] for row in contents.rows} == {"before", "after"}
    assert {row["stream"] for row in contents.rows} == {"forget", "normal"}
