"""The edits ``erase`` and ``delete``."""

from __future__ import annotations

import json

import pytest
from stub import save_stub

PAIRS = ["ab", "ba", "cd", "dc", "ee", "ca"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_stub({"random_init": 1}, tmp_path / "base")
    rows = [{"q": pair, "a": pair[::-1] * 3} for pair in PAIRS]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "forget.jsonl").write_text("\n".join(map(json.dumps, rows[1:3])))
    return tmp_path


COLUMNS = ("--prompt_field", "q", "--response_field", "a", "--template", "a{prompt}b")
MAKE = ("edit", "erase", "--base", "base", "--examples", "rows.jsonl", "--k", "2", *COLUMNS)


def test_rows_are_put_before_prompts_and_deleted(command, folder):
    done = command(*MAKE, "--out", "made")
    assert (done.code, done.out.strip()) == (0, "made"), done.err
    done = command(
        "edit", "delete", "--model", "made", "--forget", "forget.jsonl", "--out", "less", *COLUMNS
    )
    assert (done.code, done.out.strip()) == (0, "less"), done.err
    assert "2 rows deleted" in done.err
    kept = [json.loads(line)["source"] for line in (folder / "less/examples.jsonl").open()]
    assert kept == [f"rows.jsonl:{line}" for line in (1, 4, 5, 6)]
    done = command("generate", "less", "ab", "--max_new_tokens", "3")
    assert done.code == 0, done.err
    suite = "{name: privacy, forget: forget.jsonl, holdout: rest.jsonl}"
    text = [json.dumps({"prompt": a, "response": "edcba" * 3}) for a in "abcde"]
    for name in ("forget", "rest"):
        (folder / f"{name}.jsonl").write_text("\n".join(text))
    done = command("evaluate", "less", "--suite", suite, "--device", "cpu")
    assert done.code == 0, done.err


def test_what_cannot_be_done_is_said_and_nothing_is_written(command, folder, monkeypatch):
    with monkeypatch.context() as before_loading:
        before_loading.setattr("unlearnkit.edits.erase.load_model", None)
        done = command(*MAKE, "--out", "made", "--k", "7")
    assert done.code == 2
    assert "--k: expected 1 to 6" in done.err
    done = command(*MAKE, "--out", "made", "--prompt_field", "question")
    assert done.code == 2
    assert "'question'" in done.err
    assert not (folder / "made").exists()
    assert command(*MAKE, "--out", "made").code == 0
    # Without the template these are other rows.
    done = command(
        "edit", "delete", "--model", "made", "--forget", "forget.jsonl", "--out", "less",
        "--prompt_field", "q", "--response_field", "a",
    )  # fmt: skip
    assert done.code == 2
    assert "forget.jsonl, line 1: found a row that is no example" in done.err
    assert "forget.jsonl, line 2" in done.err
    done = command(*MAKE, "--out", "made")
    assert done.code == 2
    assert "made exists and is not empty" in done.err
    assert not (folder / "less").exists()
