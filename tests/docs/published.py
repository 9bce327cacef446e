"""Small files in the schemas of published ones, made by hand for the pages that read them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PAIR = {"question": "Who wrote it?", "answer": "Ann Lee."}


def write_all(folder: Path) -> None:
    """Writes them under the names that the pages use."""
    _json(folder / "authors.json", {"data": [{"name": "Ann Lee", "pairs": [PAIR, PAIR]}]})
    turns = [{"from": "human", "value": PAIR["question"]}, {"from": "gpt", "value": PAIR["answer"]}]
    _json(folder / "sharegpt.json", [{"id": "a", "conversations": turns}])
    (folder / "requests.csv").write_text("goal,target\nPick a lock,Sure\n", "utf-8")


def _json(path: Path, content: Any, indent: int | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=indent), "utf-8")
