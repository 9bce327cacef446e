"""Results of a benchmark: one file, one line a run."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Result = dict[str, Any]


class Results:
    """Results in a JSON-lines file, each known by the values of some of its fields.

    Several processes may write to one file. A line that was cut off is left out when it is read.

    Args:
        path: The file; it is made with the first result.
        key: Fields that tell one run from another.
    """

    def __init__(self, path: Path, key: tuple[str, ...]) -> None:
        self.path, self.key = path, key

    def all(self) -> list[Result]:
        """All results, in the order of their keys."""
        found: dict[tuple[Any, ...], Result] = {}
        text = self.path.read_text(encoding="utf-8") if self.path.is_file() else ""
        for line in text.splitlines():
            try:
                result = json.loads(line)
                found[tuple(result[name] for name in self.key)] = result
            except (ValueError, TypeError, KeyError):
                continue
        return [found[each] for each in sorted(found)]

    def get(self, *values: Any) -> Result | None:
        """The result of a key, or None."""
        wanted = dict(zip(self.key, values, strict=True))
        return next((r for r in self.all() if all(r[k] == v for k, v in wanted.items())), None)

    def put(self, result: Result) -> None:
        """Adds a result, in place of one with the same key."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._alone():
            kept = {tuple(each[name] for name in self.key): each for each in self.all()}
            kept[tuple(result[name] for name in self.key)] = result
            lines = [json.dumps(kept[each], ensure_ascii=False) + "\n" for each in sorted(kept)]
            unfinished = self.path.with_suffix(f".{os.getpid()}.unfinished")
            unfinished.write_text("".join(lines), encoding="utf-8")
            unfinished.replace(self.path)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        folder = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)
