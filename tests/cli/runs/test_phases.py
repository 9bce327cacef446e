"""Recipes of several phases, and of requests: checked whole, run in a row, gone on with."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from processes import PATIENCE, free_port
from rounding import margin
from safetensors.torch import load_file
from stub import save_stub

from unlearnkit import UserError, load_run

COMMON = """\
seed_everything: 7
model:
  base: stub
  optimizer: {name: AdamW, lr: 1.0e-2}
  objectives:
    forget: {name: npo, weight: 0.5, beta: 0.2}
    retain: {name: retain_kl}
data:
  batch_size: 2
  streams:
    forget: {name: qa, path: forget.jsonl}
    retain: {name: qa, path: retain.jsonl}
trainer: {max_steps: 2, accelerator: cpu, enable_progress_bar: false}
evaluate: [{name: copyright, heldout: retain.jsonl, max_new_tokens: 4}]
"""
PHASED = f"""\
{COMMON}
phases:
  - name: ascent
    model:
      objectives:
        forget: {{name: gradient_ascent}}
  - trainer: {{max_steps: 4, callbacks: [{{class_path: stop_once.Once}}]}}
"""
REQUESTS = f"{COMMON}\nrequests: [forget.jsonl, second_2.jsonl]\n"
# Sends SIGTERM amid the second phase, the first time only.
STOP = """\
import signal
from pathlib import Path
import lightning as L

class Once(L.Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 3 and Path("armed").exists():
            Path("armed").unlink()
            signal.raise_signal(signal.SIGTERM)
"""


@pytest.fixture
def written(folder, recipe) -> Path:
    save_stub({"random_init": 1, "dropout": 0.1}, folder / "stub")
    rows = [{"prompt": "d", "response": "ca"}, {"prompt": "b", "response": "aa"}]
    (folder / "second_2.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "stop_once.py").write_text(STOP)
    recipe(PHASED, "phased.yaml")
    recipe(REQUESTS, "requests.yaml")
    return folder


def _weights(folder: Path) -> dict:
    return load_file(folder / "model.safetensors")


def _same(one: Path, other: Path) -> bool:
    left, right = _weights(one), _weights(other)
    return left.keys() == right.keys() and all(left[key].equal(right[key]) for key in left)


def _runs(folder: Path, recipe: str) -> list[Path]:
    return sorted((folder / "runs" / recipe).iterdir())


def test_each_phase_is_a_run_folder_and_starts_from_the_one_before(written, command) -> None:
    assert command("fit", "-r", "phased.yaml").code == 0
    (top,) = _runs(written, "phased")
    ascent, last = load_run(top / "ascent"), load_run(top / "phase-1")
    assert list(ascent.recipe["model"]["objectives"]) == ["forget"]
    assert list(last.recipe["model"]["objectives"]) == ["forget", "retain"]
    assert Path(last.base["path"]) == ascent.model
    assert (ascent.summary["steps"], last.summary["steps"]) == (2, 4)
    assert not _same(ascent.model, written / "stub")
    assert not _same(last.model, ascent.model)
    run = load_run(top)
    assert run.model == last.model
    assert run.summary["steps"] == 6
    whole = run.summary["suites"]["copyright"]
    first = ascent.summary["suites"]["copyright"]
    assert whole["before"] == first["before"]
    own = last.summary["suites"]["copyright"]["after"]
    differing = {key for key in own if own[key] != whole["after"][key]}
    # Of the whole run the reference is the original model.
    assert differing == {"normal/kl_to_reference", "heldout/kl_to_reference"}


def test_the_report_has_what_each_phase_logged_and_tokens_of_the_whole_run(
    written, command
) -> None:
    assert command("fit", "-r", "phased.yaml").code == 0
    (top,) = _runs(written, "phased")
    html = (top / "report.html").read_text(encoding="utf-8")
    assert "Left out of this report" not in html
    for caption in ("ascent, train/forget", "phase-1, train/forget", "phase-1, train/retain"):
        assert caption in html
    assert "ascent, train/retain" not in html
    tokens = [json.loads(line) for line in (top / "tokens.jsonl").read_text().splitlines()]
    before = json.loads((top / "ascent" / "tokens.jsonl").read_text().splitlines()[0])
    after = json.loads((top / "phase-1" / "tokens.jsonl").read_text().splitlines()[0])
    assert tokens[0]["logps"] == {
        "before": before["logps"]["before"],
        "after": after["logps"]["after"],
    }
    (top / "ascent" / "metrics.csv").unlink()
    assert command("report", str(top)).code == 0
    html = (top / "report.html").read_text(encoding="utf-8")
    assert "the run folder has no ascent/metrics.csv" in html


def test_the_printed_recipe_gives_the_same_model(written, command) -> None:
    printed = command("fit", "-r", "phased.yaml", "--print_recipe")
    (written / "printed.yaml").write_text(printed.out)
    assert not (written / "runs").exists()
    for name in ("phased", "printed"):
        assert command("fit", "-r", f"{name}.yaml").code == 0
    models = [load_run(_runs(written, name)[0]).model for name in ("phased", "printed")]
    assert _same(*models)


def test_an_interrupted_run_goes_on_in_its_phase(written, command) -> None:
    assert command("fit", "-r", "phased.yaml", "--run_dir", "whole").code == 0
    whole = load_run(next((written / "whole" / "phased").iterdir()))
    (written / "armed").touch()
    stopped = command("fit", "-r", "phased.yaml")
    assert stopped.code == 143
    assert "--ckpt_path last" in stopped.err
    (top,) = _runs(written, "phased")
    finished = top / "ascent" / "summary.json"
    stamp = finished.stat().st_mtime_ns
    resumed = command("fit", "-r", "phased.yaml", "--ckpt_path", "last")
    assert resumed.code == 0
    assert "ascent was finished before" in resumed.out
    assert _runs(written, "phased") == [top]
    assert finished.stat().st_mtime_ns == stamp
    assert [each["folder"] for each in load_run(top).summary["phases"]] == ["ascent", "phase-1+2"]
    assert (top / "phase-1" / "checkpoints" / "interrupted.ckpt").is_file()
    assert _same(load_run(top).model, whole.model)
    again = command("fit", "-r", "phased.yaml", "--ckpt_path", "last")
    assert again.code == 2
    assert "is finished" in again.err


def test_a_finished_phase_is_held_to_its_recipe(written, command) -> None:
    (written / "armed").touch()
    assert command("fit", "-r", "phased.yaml").code == 143
    words = ("fit", "-r", "phased.yaml", "--ckpt_path")
    changed = command(*words, "last", "--phases.ascent.model.optimizer.lr", "0.5")
    assert changed.code == 2
    assert "phase 'ascent' is finished" in changed.err
    assert "lr 0.01 is now 0.5" in changed.err
    checkpoint = next(written.rglob("interrupted.ckpt"))
    longer = ("--phases.1.trainer.max_steps", "5")
    resumed = command(*words, str(checkpoint), *longer)
    assert resumed.code == 2
    assert "--resume_with_changes" in resumed.err
    resumed = command(*words, str(checkpoint), *longer, "--resume_with_changes")
    assert resumed.code == 0
    assert "phase-1 continues from" in resumed.out
    (top,) = _runs(written, "phased")
    assert load_run(top).summary["steps"] == 7
    (top / "summary.json").unlink()
    (top / "phase-1+2" / "summary.json").unlink()
    anew = command(*words, "last", *longer[:1], "6")
    assert anew.code == 0
    assert "phase-1 begins" in anew.out
    assert load_run(top).summary["phases"][1]["folder"] == "phase-1+3"


def test_a_phase_that_diverged_is_gone_on_with_when_it_is_changed(written, command) -> None:
    words = ("fit", "-r", "phased.yaml", "--phases.1.model.optimizer.lr")
    failed = command(*words, "1e30")
    assert failed.code == 2
    (top,) = _runs(written, "phased")
    model = load_run(top / "ascent").model
    stamp = (model / "model.safetensors").stat().st_mtime_ns
    assert not (top / "phase-1" / "model").exists()
    with pytest.raises(UserError, match=r"not a finished run: it lacks summary\.json"):
        load_run(top)
    assert command(*words, "1e-3", "--ckpt_path", "last").code == 0
    assert load_run(top).model == top / "phase-1+2" / "model"
    assert (model / "model.safetensors").stat().st_mtime_ns == stamp
    rates = [
        yaml.safe_load(file.read_text())["model"]["optimizer"]["init_args"]["lr"]
        for file in (top / "ascent" / "recipe.yaml", top / "phase-1+2" / "recipe.yaml")
    ]
    assert rates == [0.01, 0.001]


def test_all_phases_are_checked_before_the_first_is_run(written, recipe, command) -> None:
    (written / "bad.jsonl").write_text('{"prompt": "a", "response": ""}\n{"prompt": "b"}\n')
    recipe(REQUESTS.replace("second_2", "bad"), "bad.yaml")
    found = command("fit", "-r", "bad.yaml")
    assert found.code == 2
    assert "bad.jsonl, line 1" in found.err
    assert "bad.jsonl, line 2" in found.err
    assert found.err.count("bad.jsonl, line 1") == 1
    assert not (written / "runs").exists()


MISTAKES = {
    "phases: []": "expected a list of phases",
    "phases: [{modle: {}}]": "phases[0].modle: a phase has no section 'modle'",
    "phases: [{name: a}, {name: a}]": "phases[1].name: the name 'a' is given twice",
    "phases: [{name: a+2}]": "phases[0].name: it names a folder",
    "phases: [{name: ../a}]": "phases[0].name: it names a folder",
    "phases: [{}, {model: {base: tiny}}]": "starts from the model of the one before",
    "phases: [{trainer: {max_stepz: 3}}]": "phases[0].trainer.max_stepz: Trainer has no argument",
    "phases: [{}, {edit: {name: negate}, model: {}}]": "put this in another phase",
    "phases: [{edit: {name: negate}}]": "the first phase trains",
    "phases: [{}, {edit: {name: nega}}]": (
        "phases[1].edit: expected negate, add or noise, found 'nega'"
    ),
    "phases: [{}, {edit: {name: noise, scale: 2}}]": (
        "phases[1].edit: 'noise' has no scale; it has alpha, beta, seed"
    ),
    "phases: [{}, {edit: {name: noise, alpha: 2}}]": (
        "phases[1].edit: alpha: expected 0 to 1, found 2"
    ),
    "phases: [{}, {edit: {name: add, skale: 2}}]": "phases[1].edit.skale: Edit has no argument",
    "phases: [{}, {edit: {name: add, scale: .inf}}]": "phases[1].edit: scale: expected a finite",
    "phases: [{}, {edit: negate}]": "phases[1].edit: expected a mapping",
    "phases: [{}]\nrequests: [forget.jsonl]": "a recipe has phases or requests",
    "requests: forget.jsonl": "expected a list of files",
    "requests: [forget.jsonl, forget.jsonl]": "the name 'forget' is given twice",
    "requests: [3]": "expected a file",
    "requests: [none.jsonl]": "none.jsonl: found no such file",
    "requests: {normal: second_2.jsonl}": "the name of rows that are to stay",
}


@pytest.mark.parametrize("text", MISTAKES)
def test_mistakes_are_named(written, recipe, command, text) -> None:
    found = command("validate", "-r", recipe(f"{COMMON}\n{text}\n"))
    assert found.code == 2
    assert MISTAKES[text] in found.err
    assert "recipe.yaml:" in found.err


OVERRIDES = {
    ("--phases.5.model.warmup", "1"): "no phase '5' in this recipe",
    ("--phases.1.model.base", "tiny"): "give --model.base",
    ("--phases.ascent.model.objectives.forgt.weight", "2"): "Did you mean 'forget'?",
    ("--phases.0.model.optimizer.lrr", "1"): "phases[0].model.optimizer.lrr: AdamW has no",
}


@pytest.mark.parametrize("words", OVERRIDES)
def test_overrides_that_reach_no_phase_are_named(written, command, words) -> None:
    found = command("validate", "-r", "phased.yaml", *words)
    assert found.code == 2
    assert OVERRIDES[words] in found.err


def test_an_override_reaches_the_phases_without_a_value_of_their_own(written, command) -> None:
    words = ("--trainer.max_steps", "9", "--phases.0.model.optimizer.lr", "0.5")
    found = command("fit", "-r", "phased.yaml", "--print_recipe", *words)
    first, second = yaml.safe_load(found.out)["phases"]
    assert (first["trainer"]["max_steps"], second["trainer"]["max_steps"]) == (9, 4)
    rates = [each["model"]["optimizer"]["init_args"]["lr"] for each in (first, second)]
    assert rates == [0.5, 0.01]
    partly = command("validate", "-r", "phased.yaml", *words)
    assert partly.code == 0
    assert "--trainer.max_steps is not for phase-1" in partly.err
    both = command("validate", "-r", "phased.yaml", *words, "--phases.0.trainer.max_steps", "3")
    assert both.code == 2
    assert "every phase has a value of its own" in both.err


def test_a_recipe_without_phases_has_none_to_override(command) -> None:
    found = command("validate", "-r", "good.yaml", "--phases.0.model.warmup", "1")
    assert found.code == 2
    assert "this recipe has no phases" in found.err
    assert "--model.warmup" in found.err


def test_requests_are_unlearned_in_turn_and_all_are_measured(written, command) -> None:
    done = command("fit", "-r", "requests.yaml")
    assert done.code == 0
    (top,) = _runs(written, "requests")
    paths = [
        load_run(top / name).recipe["data"]["streams"]["forget"]["path"]
        for name in ("forget", "second_2")
    ]
    assert paths == ["forget.jsonl", "second_2.jsonl"]
    curve = json.loads((top / "requests.json").read_text())
    assert [point["after"] for point in curve] == [None, "forget", "second_2"]
    assert curve == load_run(top).summary["requests"]
    streams = {key.partition("/")[0] for point in curve for key in point["figures"]}
    assert streams == {"forget", "second_2", "normal"}
    # What a request leaves is what the next one finds.
    later = load_run(top / "second_2").summary["suites"]["requests"]
    assert later["before"] == curve[1]["figures"]
    assert later["after"] == curve[2]["figures"]
    with (top / "requests.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["after"] for row in rows] == ["", "forget", "second_2"]
    assert float(rows[1]["second_2/probability"]) == curve[1]["figures"]["second_2/probability"]
    assert "rougeL_recall of each request" in done.out


def test_later_verbs_take_the_last_phase(written, command) -> None:
    assert command("fit", "-r", "phased.yaml").code == 0
    (top,) = _runs(written, "phased")
    figures = load_run(top).summary["suites"]["copyright"]["after"]
    assert command("evaluate", str(top)).code == 0
    evaluated = json.loads((top / "evaluation" / "copyright.json").read_text())
    assert evaluated["values"] == figures
    assert command("export", str(top), "out").code == 0
    assert _same(written / "out", top / "phase-1" / "model")
    assert command("generate", str(top), "ab", "--against", "base").code == 0
    assert command("attack", str(top), "prefix").code == 0
    table = command("compare", "runs", "--format", "json")
    assert [column["recipe"] for column in json.loads(table.out)["columns"]][-1:] == ["phased"]
    assert len(json.loads(table.out)["columns"]) == 2  # before, and the run as a whole
    overrides = ("--model.base", str(top), "--data.max_length", "32")
    assert command("fit", "-r", "good.yaml", *overrides).code == 0


def test_adapters_of_several_phases_are_merged_in_turn(written, recipe, command) -> None:
    lora = "lora: {r: 2, target_modules: [q_proj, v_proj]}"
    recipe(REQUESTS.replace("base: stub", f"base: stub\n  {lora}"), "lora.yaml")
    assert command("fit", "-r", "lora.yaml").code == 0
    top = load_run(_runs(written, "lora")[0])
    assert (top.model / "adapter_config.json").is_file()
    assert command("export", str(top.folder), "merged", "--merge").code == 0
    after = top.summary["suites"]["copyright"]["after"]
    suite = "{name: copyright, forget: second_2.jsonl, normal: retain.jsonl, max_new_tokens: 4}"
    words = ("--suite", suite, "--out", "found", "--reference", "stub")
    assert command("evaluate", "merged", *words).code == 0
    merged = json.loads((written / "found" / "copyright.json").read_text())["values"]
    assert merged["forget/nll"] == pytest.approx(after["forget/nll"], abs=1e-5)


def test_seeds_of_a_recipe_with_phases_are_one_column(written, command) -> None:
    for seed in ("1", "2"):
        assert command("fit", "-r", "phased.yaml", "--seed_everything", seed).code == 0
    words = ("--phases.1.model.optimizer.lr", "0.1")
    assert command("fit", "-r", "phased.yaml", *words).code == 0
    columns = json.loads(command("compare", "runs", "--format", "json").out)["columns"]
    runs = {column["recipe"]: len(column["runs"]) for column in columns if column["runs"]}
    assert sorted(runs.values()) == [1, 2]
    assert any("phases.1.model.optimizer.lr=0.1" in name for name in runs), runs


def test_forget_sets_of_growing_size_stand_in_order(written, command) -> None:
    for rows in ("3", "1", "null", "2"):
        words = ("--data.streams.forget.limit", rows, "--trainer.max_steps", "1")
        assert command("fit", "-r", "good.yaml", "--model.base", "stub", *words).code == 0
    columns = json.loads(command("compare", "runs", "--format", "json").out)["columns"]
    sizes = [column["recipe"].rpartition("=")[2] for column in columns if column["runs"]]
    assert sizes == ["1", "2", "3", "null"]


@pytest.mark.slow
@pytest.mark.ranks
def test_two_processes_give_the_model_of_one(written, recipe, command) -> None:
    """Every process takes part in every phase, and waits for the model of the one before."""
    recipe(PHASED.replace("batch_size: 2", "batch_size: 1"), "two.yaml")
    (written / "stub" / "config.json").write_text(
        (written / "stub" / "config.json").read_text().replace('dropout": 0.1', 'dropout": 0.0')
    )
    assert command("fit", "-r", "phased.yaml").code == 0
    devices = ("--trainer.devices", "2", "--trainer.strategy", "ddp")
    done = subprocess.run(
        [sys.executable, "-m", "unlearnkit", "fit", "-r", "two.yaml", *devices],
        timeout=PATIENCE, capture_output=True, text=True,
        env={**os.environ, "MASTER_PORT": str(free_port())},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    models = [load_run(_runs(written, name)[0]).model for name in ("phased", "two")]
    one, two = map(_weights, models)
    assert all(one[key].allclose(two[key], atol=1e-4) for key in one)


def test_an_edit_takes_away_what_the_phase_before_learned(written, recipe, command) -> None:
    phases = "phases: [{name: learn}, {name: subtract, edit: {name: negate, scale: 0.5}}, {}]"
    recipe(f"{COMMON}\n{phases}\n", "edited.yaml")
    assert command("fit", "-r", "edited.yaml").code == 0
    (top,) = _runs(written, "edited")
    folders = (written / "stub", top / "learn" / "model", top / "subtract" / "model")
    base, tuned, edited = map(_weights, folders)
    for key, value in base.items():
        assert edited[key].allclose(
            value - 0.5 * (tuned[key] - value), rtol=0, atol=margin(size=1.0)
        )
    last = load_run(top / "phase-2")
    assert Path(last.base["path"]) == folders[2]
    run = load_run(top)
    assert run.model == last.model
    assert [each["trained"] for each in run.summary["phases"]] == [True, False, True]
    assert run.summary["steps"] == 4


def test_a_damaged_model_is_distilled_from_that_of_an_earlier_phase(
    written, recipe, command
) -> None:
    """All weights are zero after the damage, so that the student begins with equal odds."""
    phases = """\
phases:
  - name: learn
  - {name: damage, edit: {name: noise, alpha: 1.0, beta: 0.0}}
  - name: distil
    model: {reference: {phase: learn}, objectives: {retain: {name: retain_kl}}}
    trainer: {max_steps: 1}
"""
    recipe(f"{COMMON}\n{phases}\n", "undo.yaml")
    recipe(f"{COMMON}\n{phases.replace('reference: {phase: learn}, ', '')}\n", "own.yaml")
    first = {}
    for name in ("undo", "own"):
        assert command("fit", "-r", f"{name}.yaml").code == 0
        (top,) = _runs(written, name)
        with (top / "distil" / "metrics.csv").open() as lines:
            first[name] = float(next(csv.DictReader(lines))["train/retain_kl"])
        assert not any(each.any() for each in _weights(top / "damage" / "model").values())
    # A model is no distance from itself as it was at the start of its phase.
    assert first["own"] == 0.0
    assert first["undo"] > 0.001
    recipe(f"{COMMON}\n{phases.replace('phase: learn', 'phase: lern')}\n", "wrong.yaml")
    wrong = command("fit", "-r", "wrong.yaml")
    assert wrong.code == 2
    assert "phase 'distil': model.reference: there is no phase 'lern' before it" in wrong.err
    assert "learn, damage" in wrong.err


def test_an_edit_may_be_the_last_phase(written, recipe, command) -> None:
    phases = "phases: [{name: learn}, {name: subtract, edit: {name: negate}}]"
    recipe(f"{COMMON}\n{phases}\n", "edited.yaml")
    assert command("fit", "-r", "edited.yaml").code == 0
    (top,) = _runs(written, "edited")
    run = load_run(top)
    assert run.model == top / "subtract" / "model"
    assert command("evaluate", str(top)).code == 0
    evaluated = json.loads((top / "evaluation" / "copyright.json").read_text())
    assert evaluated["values"] == run.summary["suites"]["copyright"]["after"]
    printed = command("fit", "-r", "edited.yaml", "--print_recipe").out
    assert yaml.safe_load(printed)["phases"][1]["edit"] == {"name": "negate"}
    (top / "summary.json").unlink()
    resumed = command("fit", "-r", "edited.yaml", "--ckpt_path", "last")
    assert resumed.code == 0
    assert "subtract was finished before" in resumed.out


@pytest.mark.parametrize(
    ("own", "file", "told"),
    [
        ("own_of_data", "forget.jsonl", "data.streams.forget: "),
        ("own_of_code", "own_of_code.py", "code of own_of_code.Own"),
    ],
)
def test_a_finished_phase_is_held_to_its_data_and_code(written, command, own, file, told) -> None:
    loss = "from unlearnkit.objectives.likelihood import GradientAscent\n"
    (written / f"{own}.py").write_text(f"{loss}\n\nclass Own(GradientAscent):\n    pass\n")
    words = (
        "fit", "-r", "phased.yaml", "--phases.ascent.model.objectives.forget.name", f"{own}.Own",
        "--evaluate", "[]",
    )  # fmt: skip
    (written / "armed").touch()
    stopped = command(*words)
    assert stopped.code == 143, stopped.err
    given = (written / file).read_text()
    (written / file).write_text(given.replace("cd", "dc").replace("pass", "weight = 2.0"))
    changed = command(*words, "--ckpt_path", "last")
    assert changed.code == 2
    said = " ".join(changed.err.replace("│", " ").split())
    assert "phase 'ascent' is finished" in said
    assert told in said
    assert "is now" in said
    (written / file).write_text(given)
    assert command(*words, "--ckpt_path", "last").code == 0
