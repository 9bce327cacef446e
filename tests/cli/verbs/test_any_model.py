"""`attack` and `evaluate` on models that no run of ours made, with files or a suite."""

from __future__ import annotations

import json

import pytest
from stub import save_stub

from unlearnkit.models.base import as_base_model

SMALL = ("--limit", "1", "--rows", "1", "--steps", "1", "--every", "1")


@pytest.fixture
def model(folder):
    save_stub({"random_init": 1}, folder / "models" / "mine")
    return "models/mine"


def stored(folder, model, kind):
    return json.loads((folder / "evaluations" / model / "attacks" / f"{kind}.json").read_text())


def test_a_folder_is_attacked_with_a_file_of_forget_rows(command, folder, model):
    words = ("attack", model, "relearn", *SMALL, "--forget", "forget.jsonl", "--gold", model)
    done = command(*words)
    assert done.code == 0, done.err
    assert "gold: the attacker trained all weights" in done.out
    kept = stored(folder, model, "relearn")
    assert set(kept["curves"]) == {"unlearned", "gold"}
    assert kept["curves"]["gold"] == kept["curves"]["unlearned"]
    assert kept["changed"] == {"unlearned": "all weights", "gold": "all weights"}
    assert "unchanged since" in command(*words).out


def test_rows_to_keep_can_be_named_normal(command, folder, model):
    words = ("attack", model, "relearn", *SMALL, "--forget", "forget.jsonl", "--data", "normal")
    done = command(*words, "--normal", "retain.jsonl")
    assert done.code == 0, done.err
    assert stored(folder, model, "relearn")["settings"]["data"] == "normal"
    refused = command(*words)
    assert (refused.code, "'normal' is neither a stream" in refused.err) == (2, True)


def test_a_stream_in_place_of_a_file_says_how_it_is_read(command, folder, model):
    (folder / "odd.jsonl").write_text('{"q": "ab", "a": "cd"}\n{"q": "b", "a": "d"}\n')
    stream = "{name: qa, path: odd.jsonl, prompt_field: q, response_field: a}"
    done = command("attack", model, "sample", "--samples", "2", "--forget", stream)
    assert done.code == 0, done.err
    assert len(stored(folder, model, "sample")["curves"]["unlearned"]) == 2
    worded = command("attack", model, "paraphrase", "--limit", "1", "--forget", stream)
    assert worded.code == 0, worded.err


def test_a_suite_says_where_its_forget_rows_are(command, folder):
    suite = "{name: tofu, data: tiny/tofu_power, split: forget10, limit: 2}"
    done = command("attack", "tiny/tofu_power", "prefix", "--suite", suite, "--max_length", "64")
    assert done.code == 0, done.err
    (first, *_) = stored(folder, "tiny/tofu_power", "prefix")["curves"]["unlearned"]
    assert first["forget/exact_memorization"] > 0.9


def test_a_run_takes_other_forget_rows_too(command, folder, recipe):
    text = (folder / "good.yaml").read_text() + "evaluate: []\n"
    assert command("fit", "-r", recipe(text), "--run_dir", "runs").code == 0
    (run,) = (folder / "runs").glob("*/*")
    (folder / "more.jsonl").write_text('{"prompt": "a", "response": " b c d"}\n' * 5)
    for words, rows in (((), 3), (("--forget", str(folder / "more.jsonl")), 5)):
        refused = command("attack", str(run), "relearn", "--rows", "9", *words)
        assert f"--rows: expected 1 to {rows - 1}" in refused.err, refused.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "no forget rows are given, and models/mine is no run"),
        (("--suite", "muse"), "muse: it has no rows with a true answer"),
        (("--suite", "tofu", "--forget", "forget.jsonl"), "--suite says where its rows are"),
        (("--normal", "retain.jsonl"), "--normal: no rows to forget are given"),
        (("--suite", "[tofu, muse]"), "--suite: expected one, found 2"),
        (("--forget", "no.jsonl"), "'no.jsonl' is neither a stream of the recipe nor a file"),
        (("--forget", "bad.jsonl"), "bad.jsonl"),
        (("--forget", "{name: qq}"), "qq"),
        (("--forget", "forget.jsonl", "--max_length", "0"), "--max_length: expected at least 1"),
        (("--forget", "forget.jsonl", "--gold", "nowhere/at/all"), "nowhere/at/all"),
    ],
)
def test_what_is_wrong_is_said_before_a_model_is_loaded(
    command, folder, model, words, said, monkeypatch
):
    (folder / "bad.jsonl").write_text('{"prompt": 3}\n{"prompt": "a", "response": null}\n')
    monkeypatch.setattr("unlearnkit.attacks.prefix.load_model", None)
    done = command("attack", model, "prefix", *words)
    assert (done.code, said in done.err) == (2, True), done.err
    assert not (folder / "evaluations").exists()


def test_any_model_is_evaluated_on_files(command, folder, model):
    files = ("--forget", "forget.jsonl", "--normal", "retain.jsonl")
    done = command("evaluate", model, *files)
    assert done.code == 0, done.err
    found = json.loads((folder / "evaluations" / model / "copyright.json").read_text())
    assert {name.partition("/")[0] for name in found["values"]} == {"forget", "normal"}
    neither = command("evaluate", model)
    assert (neither.code, "--forget FILE" in neither.err) == (2, True)
    both = command("evaluate", model, "--suite", "tofu", *files)
    assert (both.code, "--suite says where its rows are" in both.err) == (2, True)


def test_an_embedded_model_is_attacked_on_the_shipped_book(command, folder):
    words = ("attack", "tiny", "prefix", "--suite", "copyright", "--limit", "1")
    done = command(*words)
    assert done.code == 0, done.err
    first = stored(folder, "tiny", "prefix")["curves"]["unlearned"][0]
    assert first["forget/exact_memorization"] == 1.0
    assert as_base_model("tiny").path not in done.out
