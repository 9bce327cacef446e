"""A working directory with the files that the pages speak of."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import published
import pytest

OWN = ("my_losses", "my_suites", "my_metrics", "my_own")


@pytest.fixture
def here(tmp_path, monkeypatch) -> Iterator[Path]:
    """A working directory with small files under the names of the pages."""
    monkeypatch.chdir(tmp_path)
    # Own modules of one page must not be found by the next, nor by another test of the process.
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    for own in OWN:
        monkeypatch.delitem(sys.modules, own, raising=False)
    kept = ("retain", "retain_more", "heldout", "neighbour", "chat", "chats", "reasoning", "benign")
    for name in ("forget", "unseen", "harmful", "drawn", *kept, "people", "ada", "bo", "cy"):
        row = {"prompt": f"Who wrote {name}?", "response": "Ann Lee.", "name": name.capitalize()}
        Path(f"{name}.jsonl").write_text(json.dumps(row) + "\n")
    fact = {"prompt": "Who?", "response": "Ada.", "asked": ["Who is it?"], "said": ["It is Ada."]}
    Path("facts.jsonl").write_text(json.dumps(fact) + "\n")
    Path("wordings.jsonl").touch()
    published.write_all(tmp_path)
    yield tmp_path
    for own in OWN:
        sys.modules.pop(own, None)
