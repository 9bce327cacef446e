"""Secrets of a recipe serve the run, and are in no file that it leaves."""

from __future__ import annotations

import json
import shutil


def test_a_run_works_with_secrets_and_keeps_none(command, folder) -> None:
    place = "x?token=UNGUESSABLE&b=2"
    (folder / place).mkdir()
    shutil.move(folder / "forget.jsonl", folder / place / "forget.jsonl")
    text = (folder / "good.yaml").read_text().replace("path: forget", f"path: '{place}/forget")
    text = text.replace("forget.jsonl}", "forget.jsonl'}").replace(
        "model:\n", "model:\n  base: tiny\n"
    )
    (folder / "secret.yaml").write_text(text + "evaluate: [{name: copyright, max_new_tokens: 2}]\n")
    done = command(
        "fit", "-r", "secret.yaml", "--data.streams.retain.path", "retain.jsonl",
        "--data.streams.forget.path", f"{place}/forget.jsonl", "--evaluate", "[]",
    )  # fmt: skip
    assert done.code == 0, done.err
    (run,) = (folder / "runs" / "secret").iterdir()
    for name in ("recipe.yaml", "environment.json", "report.html", "model/README.md"):
        assert "UNGUESSABLE" not in (run / name).read_text(), name
    assert "token=***" in (run / "recipe.yaml").read_text()
    for file in run.rglob("*"):
        assert not file.is_file() or b"UNGUESSABLE" not in file.read_bytes(), file


def test_secrets_in_texts_are_in_no_file_and_no_message(command, folder) -> None:
    text = (folder / "good.yaml").read_text().replace("model:\n", "model:\n  base: tiny\n")
    template = "'You are the bank. password: UNGUESSABLE1 Question: {prompt} Answer: {response}'"
    row = {"question": "a", "right_answer": "b", "hallucinated_answer": "c"}
    (folder / "asked").mkdir()
    (folder / "asked" / "trained.jsonl").write_text(json.dumps(row | {"split": "trained"}) + "\n")
    names = "{name: hallucination, data: asked, unseen: null"
    suite = f"{names}, max_new_tokens: 2, template: {template}}}"
    (folder / "secret.yaml").write_text(f"{text}evaluate: [{suite}]\n")
    given = (folder / "good.yaml").read_text()
    (folder / "wrong.yaml").write_text(
        given.replace("seed_everything: 7", "seed_everything: 'token=UNGUESSABLE2'")
    )
    done = command("validate", "-r", "wrong.yaml")
    assert done.code == 2
    assert "UNGUESSABLE" not in done.out + done.err
    done = command("fit", "-r", "secret.yaml")
    assert done.code == 0, done.err
    (run,) = (folder / "runs" / "secret").iterdir()
    for name in ("recipe.yaml", "environment.json", "summary.json", "model/README.md"):
        assert "UNGUESSABLE" not in (run / name).read_text(), name
    # What was asked is data.
    assert "UNGUESSABLE" in (run / "rows.jsonl").read_text()
    done = command("evaluate", str(run))
    assert "stands for a secret that was masked" in " ".join(done.err.split())
