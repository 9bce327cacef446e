"""Text of data sets reaches terminal, page and card as text, and never as an order."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
import torch

TITLE, CLEAR, OVERRIDE = "\x1b]0;owned\x07", "\x1b[2J", "\u202e"
HOSTILE = f"{TITLE}{CLEAR}{OVERRIDE}[red]r[/red] <script>alert(1)</script> | `x` [a](b)"


@pytest.fixture
def hostile(folder) -> Path:
    """All rows of both streams are hostile, and one recipe trains and evaluates on them."""
    for name in ("forget", "retain"):
        rows = [{"prompt": f"{HOSTILE}{i}", "response": f"{HOSTILE}{i}"} for i in range(3)]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    text = (folder / "good.yaml").read_text().replace("model:\n", "model:\n  base: tiny\n")
    (folder / "hostile.yaml").write_text(
        text + "evaluate:\n  - {name: copyright, normal: retain, max_new_tokens: 4}\n"
    )
    return folder


def assert_harmless(said: str) -> None:
    for order in ("\x1b]", CLEAR, "\x07", OVERRIDE):
        assert order not in said


def test_every_verb_shows_hostile_text_as_text(command, hostile) -> None:
    done = command("validate", "-r", "hostile.yaml")
    assert "[red]r[/red]" in done.out + done.err  # markup is shown, not obeyed
    assert_harmless(done.out + done.err)

    done = command("fit", "-r", "hostile.yaml")
    assert done.code == 0, done.err
    assert "[red]r[/red]" in done.out + done.err  # markup is shown, not obeyed
    assert_harmless(done.out + done.err)
    (run,) = (hostile / "runs" / "hostile").iterdir()

    for words in (
        ("generate", str(run), HOSTILE, "--max_new_tokens", "4"),
        ("evaluate", str(run)),
        ("attack", str(run), "prefix"),
        ("compare", str(run)),
        ("compare", str(run), "--format", "md"),
        ("compare", str(run), "--format", "csv"),
    ):
        done = command(*words)
        assert done.code == 0, (words, done.err)
        assert_harmless(done.out + done.err)

    page = (run / "report.html").read_text()
    assert "alert(1)" in page  # the rows are shown
    for order in ("<script>alert(1)", "\x1b", OVERRIDE):
        assert order not in page


def test_bad_rows_are_quoted_harmlessly(command, hostile) -> None:
    (hostile / "forget.jsonl").write_text(json.dumps({HOSTILE: HOSTILE, "prompt": 3}) + "\n")
    done = command("validate", "-r", "hostile.yaml")
    assert done.code == 2
    assert_harmless(done.err)


class Thief:
    def __reduce__(self):
        return (exec, ("open('stolen', 'w').close()",))


def test_a_checkpoint_with_code_in_it_is_refused(command, folder) -> None:
    torch.save({"state_dict": {}, "loops": Thief()}, folder / "evil.ckpt")
    done = command("fit", "-r", "good.yaml", "--model.base", "tiny", "--ckpt_path", "evil.ckpt")
    assert done.code == 2, done.err
    assert not (folder / "stolen").exists()


def test_a_model_in_a_pickle_is_refused(command, folder) -> None:
    source = folder / "model"
    source.mkdir()
    (source / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 8}))
    (source / "pytorch_model.bin").write_bytes(pickle.dumps(Thief()))
    done = command("fit", "-r", "good.yaml", "--model.base", "model")
    assert done.code == 2
    assert not (folder / "stolen").exists()


def test_paths_in_data_are_text(command, hostile) -> None:
    secret = hostile / "secret.txt"
    secret.write_text("UNGUESSABLE")
    rows = [{"prompt": f"file://{secret}", "response": str(secret)} for _ in range(2)]
    (hostile / "forget.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = command("fit", "-r", "hostile.yaml")
    assert done.code == 0, done.err
    assert "UNGUESSABLE" not in done.out + done.err
    for file in (hostile / "runs").rglob("*"):
        assert not file.is_file() or b"UNGUESSABLE" not in file.read_bytes()


@pytest.mark.parametrize("name", ["../../x", "{above}/x", "a/b", "..", ".", "a\x00b", "a\x1b[2Jb"])
def test_names_of_streams_are_no_paths(command, hostile, name) -> None:
    name = name.format(above=hostile.parent)
    text = (hostile / "hostile.yaml").read_text()
    key = json.dumps(name)
    text = text.replace("    retain: {name: qa", f"    {key}: {{name: qa")
    text = text.replace("retain: {name: retain_kl}", f"retain: {{name: retain_kl, stream: {key}}}")
    text = text.replace("normal: retain", f"normal: {key}")
    (hostile / "named.yaml").write_text(text)
    before = {p for p in hostile.parent.rglob("*") if hostile not in p.parents}
    done = command("fit", "-r", "named.yaml")
    assert done.code in (0, 2), done.err
    assert_harmless(done.out + done.err)
    assert {p for p in hostile.parent.rglob("*") if hostile not in p.parents} == before
