"""Tells whether runs were measured on the same rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from unlearnkit.runs.folder import Run
from unlearnkit.runs.other.judged import Judged
from unlearnkit.suites.parts.digest import digest

_WHEN = '"when": "after"'
"""Stands in each line that is of the unlearned model, as `rows.jsonl` is written."""


def unlike_rows(runs: Sequence[Run]) -> frozenset[str]:
    """``<suite>/<stream>`` of rows that are not the same in all runs that measured them.

    Rows are the same if prompts and true texts are, in any order; of a chat the last user turn
    counts, whatever the template put around it.
    """
    found: dict[str, set[str]] = {}
    for run in runs:
        texts: dict[str, list[str]] = {}
        for row in _rows(run):
            asked = row.get("asked") or row.get("prompt")
            text = json.dumps([str(each or "").strip() for each in (asked, row.get("reference"))])
            texts.setdefault(f"{row.get('suite')}/{row.get('stream')}", []).append(text)
        for place, rows in texts.items():
            found.setdefault(place, set()).add(digest(sorted(rows)))
    return frozenset(place for place, digests in found.items() if len(digests) > 1)


def _rows(run: Run) -> Iterator[Mapping[str, Any]]:
    if isinstance(run, Judged):
        yield from (row for row in run.rows if row.get("when") == "after")
        return
    try:
        with (run.folder / "rows.jsonl").open(encoding="utf-8") as lines:
            yield from _parsed(line for line in lines if _WHEN in line)
    except (OSError, UnicodeDecodeError):
        return  # nothing is known of its rows


def _parsed(lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    for line in lines:
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and row.get("when") == "after":
            yield row
