"""Files of made-up rows, one a table."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

Tables = Mapping[str, Sequence[Mapping[str, Any]]]


def write_tables(tables: Callable[[int], Tables], here: Path, about: str) -> None:
    """Writes the tables of a seed that the command line names.

    Args:
        tables: Rows by the name of a table, given a seed.
        here: Where they go unless ``--out`` says otherwise.
        about: What the command does, for its help.
    """
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--out", type=Path, default=here)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name, rows in tables(options.seed).items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (options.out / f"{name}.jsonl").write_text(text, encoding="utf-8")
