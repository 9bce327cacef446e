"""Secrets of a recipe serve the run, and are in no file that it leaves."""

from __future__ import annotations

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
