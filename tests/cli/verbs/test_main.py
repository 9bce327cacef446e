"""The entry of the command: what it prints, and its exit codes."""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys

import pytest

from unlearnkit.cli import main as entry
from unlearnkit.cli import verbs
from unlearnkit.errors import Interrupted, UserError
from unlearnkit.plain import number

HEAVY = ("torch", "lightning", "transformers", "peft", "datasets")


@pytest.mark.parametrize(
    "words", [["--help"], [], ["--version"], ["fit", "--help"], ["fti"], ["--recipe", "r", "fit"]]
)
def test_help_and_mistakes_import_nothing_heavy(words):
    code = (
        "import sys\n"
        "from unlearnkit.cli.main import main\n"
        f"main({words!r})\n"
        f"loaded = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "sys.exit(f'imported {loaded}' if loaded else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_help_names_every_verb_and_gives_examples(command):
    done = command("--help")
    assert done.code == 0
    for verb in verbs.names():
        assert verb in done.out
        assert verbs.load(verb).HELP in done.out
    assert "unlearnkit fit --recipe copyright" in done.out


def test_every_verb_has_a_command():
    from unlearnkit.cli.main import command_of

    assert all(callable(command_of(verb)) for verb in verbs.names())


def test_wrong_order_is_explained(command):
    done = command("--recipe", "r.yaml", "fit")
    assert done.code == 2
    assert "the verb comes first" in done.err
    assert "unlearnkit fit --recipe r.yaml" in done.err


def test_an_override_before_the_verb_is_no_own_verb(command):
    done = command("--model.optimizer.lr", "1", "fit")
    assert (done.code, "the verb comes first" in done.err) == (2, True)
    for word in ("./fit", "../fit", ".", "1.5", "copyright."):
        assert (command(word).code, command(word).err.count("there is no verb")) == (2, 1)


def test_unknown_verb_gets_the_nearest(command):
    done = command("fti")
    assert done.code == 2
    assert "Did you mean 'fit'?" in done.err


def test_version(command):
    assert command("--version").out.startswith("unlearnkit ")


def fail_with(error):
    def run(arguments):
        raise error

    return run


def test_user_error_is_a_panel_without_traceback(command, monkeypatch):
    monkeypatch.setattr(entry, "run", fail_with(UserError("the disk is full", hint="make room")))
    done = command("fit")
    assert done.code == 2
    assert "the disk is full" in done.err
    assert "make room" in done.err
    assert "Traceback" not in done.err


def test_a_fault_of_ours_says_so(command, monkeypatch):
    # A function of the package that is given what it cannot take.
    monkeypatch.setattr(entry, "run", number)
    done = command("fit")
    assert done.code == 1
    assert "a fault of unlearnkit: TypeError" in done.err
    assert "Traceback" not in done.err


def test_what_fails_in_code_of_the_users_own_is_told_with_its_line(command, monkeypatch):
    error = ZeroDivisionError("at https://me:S3CRET@host/x")
    monkeypatch.setattr(entry, "run", fail_with(error))
    done = command("fit")
    said = " ".join(done.err.replace("│", " ").split())
    assert done.code == 2
    assert re.search(
        r"test_main\.py, line \d+, in run: ZeroDivisionError: at https://\*\*\*@", said
    )
    assert "fault" not in said


@pytest.mark.parametrize("words", [("--debug", "fit"), ("fit", "--debug")])
def test_debug_shows_the_traceback(command, monkeypatch, words):
    monkeypatch.setattr(entry, "run", fail_with(ZeroDivisionError("division by zero")))
    assert "Traceback" in command(*words).err


def test_interrupt(command, monkeypatch):
    monkeypatch.setattr(entry, "run", fail_with(KeyboardInterrupt()))
    assert command("fit").code == 130


def test_control_characters_and_markup_reach_no_terminal(command, monkeypatch):
    monkeypatch.setattr(entry, "run", fail_with(UserError("\x1b[2J[red]x[/red]")))
    err = command("fit").err
    assert "\x1b[2J" not in err
    assert r"\x1b[2J[red]x[/red]" in err


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_disk_that_cannot_be_written_to_is_no_fault(command, monkeypatch, number) -> None:
    def refuse(_: list[str]) -> None:
        raise OSError(number, os.strerror(number), "runs/here")

    monkeypatch.setattr(entry, "command_of", lambda verb: refuse)
    done = command("report", "runs/here")
    assert done.code == 2, done.err
    assert f"runs/here: {os.strerror(number)}" in done.err
    assert "fault" not in done.err


def test_a_folder_of_results_below_a_file_is_no_fault(command) -> None:
    rows = ("--forget", "forget.jsonl", "--normal", "retain.jsonl")
    done = command("evaluate", "tiny", *rows, "--out", "forget.jsonl/x")
    assert done.code == 2, done.err
    assert "forget.jsonl/x: Not a directory" in done.err


@pytest.mark.parametrize(
    ("rank", "told", "shown"),
    [("0", None, True), ("1", None, False), ("1", False, True), ("0", True, False)],
)
def test_one_process_of_a_run_says_that_it_was_stopped(command, monkeypatch, rank, told, shown):
    def stopped(arguments: list[str]) -> None:
        error = Interrupted("another process of this run ended", signum=15)
        error.told = told
        raise error

    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(entry, "run", stopped)
    done = command("fit")
    assert (done.code, "another process of this run ended" in done.err) == (143, shown)
