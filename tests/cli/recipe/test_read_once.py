"""A data file is read once a command, so that one of 200 MB costs what its rows cost."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import processes
import pytest
from stub import save_stub

from tests.cli.conftest import GOOD
from unlearnkit.cli.main import main


def _counting(*words: str) -> int:
    """Runs a command; prints how often it opens each data file, by whatever function."""
    opened: Counter[str] = Counter()

    def note(event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], str | os.PathLike):
            name = Path(arguments[0]).name
            if name in ("forget.jsonl", "retain.jsonl"):
                opened[name] += 1

    sys.addaudithook(note)  # which stays for the life of a process
    code = main(list(words))
    print("opened", sorted(opened.items()))
    return code


@pytest.mark.parametrize("verb", ["validate", "fit"])
def test_a_command_opens_a_stream_s_file_once(folder, recipe, verb) -> None:
    save_stub({"random_init": 1}, folder / "stub")
    mismatch = "    mismatch: {name: mismatch, prompts: forget}\ntrainer:"
    recipe(GOOD.replace("model:\n", "model:\n  base: stub\n").replace("trainer:", mismatch))
    done = processes.run(_counting, verb, "-r", "recipe.yaml", cwd=folder)
    assert done.returncode == 0, done.stderr
    (said,) = (line for line in done.stdout.splitlines() if line.startswith("opened"))
    assert said == "opened [('forget.jsonl', 1), ('retain.jsonl', 1)]"
