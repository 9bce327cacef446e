"""The edit ``lunar``."""

from __future__ import annotations

import json

import pytest
from stub import save_stub


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_stub({"random_init": 1}, tmp_path / "base")
    for name, prompts in {"forget": "ab", "retain": "cd", "refuse": "e"}.items():
        lines = [json.dumps({"q": p * 3, "a": p}) for p in prompts]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    return tmp_path


LUNAR = (
    "edit", "lunar", "--base", "base", "--forget", "forget.jsonl", "--retain", "retain.jsonl",
    "--refuse", "refuse.jsonl", "--prompt_field", "q", "--response_field", "a",
)  # fmt: skip


def test_the_edit_is_a_model_that_every_verb_takes(command, folder):
    done = command(*LUNAR, "--layer", "1", "--responses", "true", "--out", "made")
    assert (done.code, done.out.strip()) == (0, "made"), done.err
    record = json.loads((folder / "made" / "edit.json").read_text())
    assert (record["edit"], record["layer"], record["responses"]) == ("lunar", 1, True)
    done = command("generate", "made", "ab", "--against", "./base", "--max_new_tokens", "3")
    assert done.code == 0, done.err
    suite = "{name: privacy, forget: rows.jsonl, holdout: rows.jsonl}"
    text = [json.dumps({"prompt": a, "response": "edcba" * 3}) for a in "abcde"]
    (folder / "rows.jsonl").write_text("\n".join(text))
    done = command("evaluate", "made", "--suite", suite, "--device", "cpu")
    assert done.code == 0, done.err
    assert command("export", "made", "out").code == 0


def test_what_is_wrong_is_said_and_nothing_is_written(command, folder):
    done = command(*LUNAR, "--layer", "7", "--out", "made")
    assert done.code == 2
    assert "--layer: expected 0 to 1, found 7" in done.err
    done = command(*LUNAR, "--layer", "1", "--out", "made", "--prompt_field", "question")
    assert done.code == 2
    assert "'question'" in done.err
    done = command(*LUNAR, "--out", "made")
    assert done.code == 2
    assert "layer" in done.err
    assert not (folder / "made").exists()
