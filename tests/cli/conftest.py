"""A recipe in a folder of its own, and the command run in this process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from unlearnkit.cli.main import main
from unlearnkit.cli.recipe.build import RecipeCLI
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.overrides import read_command_line

FORGET = [("a", "cd"), ("b", "ee"), ("c", "da")]
RETAIN = [("c", "ab"), ("d", "ba"), ("e", "cab"), ("a", "bc")]

GOOD = """\
seed_everything: 7
model:
  optimizer: {name: AdamW, lr: 1.0e-4}
  objectives:
    forget: {name: npo, weight: 0.5, beta: 0.2}
    retain: {name: retain_kl}
data:
  batch_size: 2
  streams:
    forget: {name: qa, path: forget.jsonl}
    retain: {name: qa, path: retain.jsonl}
trainer: {max_steps: 1, accelerator: cpu}
"""


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The working directory: two small files and a good recipe."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    # Own modules of one test must not be found by the next.
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name, rows in (("forget", FORGET), ("retain", RETAIN)):
        lines = (json.dumps({"prompt": p, "response": r}) + "\n" for p, r in rows)
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    (tmp_path / "good.yaml").write_text(GOOD)
    return tmp_path


@pytest.fixture
def recipe(folder):
    """Writes a recipe and gives its path."""

    def write(text: str, name: str = "recipe.yaml") -> str:
        (folder / name).write_text(text)
        return name

    return write


@pytest.fixture
def command(folder, capsys):
    """Runs `unlearnkit` with the given words."""

    def run(*words: str) -> Outcome:
        capsys.readouterr()
        code = main(list(words))
        return Outcome(code, *capsys.readouterr())

    return run


@pytest.fixture
def parse(folder):
    """Objects of a recipe, with overrides."""

    def parsed(*words: str) -> RecipeCLI:
        line = read_command_line(list(words))
        return RecipeCLI(read(line.recipes), line.overrides)

    return parsed
