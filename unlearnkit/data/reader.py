"""Reads rows from files and data sets; every line that is no row is named."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from unlearnkit.data import formats
from unlearnkit.data.formats import Row, Table
from unlearnkit.errors import DataError, Problem

search_folders: ContextVar[tuple[Path, ...]] = ContextVar("search_folders", default=())
"""Folders in which a relative path is looked up after the working directory: the recipe's."""

_PACKAGE = Path(__file__).parents[1]
_SHIPPED = "tiny"
_DATASET_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def read_rows(path: str, *, split: str = "train", config: str | None = None) -> Table:
    """The rows of a file, or of a Hugging Face data set, in order.

    Files are JSON lines, JSON, CSV, TSV, Parquet or plain text, by their suffix; text is UTF-8,
    with or without a byte order mark. A plain text file is one row with the field ``text``.

    Args:
        path: A file, absolute or relative to the working directory, to the recipe or to the
            package's own data (``tiny/book.jsonl``); else the id of a data set on the Hub.
        split: Split of a data set on the Hub.
        config: Configuration of a data set on the Hub.

    Returns:
        The rows, and a problem for each line that cannot be read as one.

    Raises:
        DataError: If the file is missing, is a folder, cannot be read or has no rows.
    """
    file = find_file(path)
    if file is not None:
        table = _read_file(path, file)
    elif Path(path).suffix in formats.READERS or not _DATASET_ID.fullmatch(path):
        raise _unreadable(path, "no such file", f"a file.{_near_files(path)}")
    else:
        table = formats.read_dataset(path, split, config)
    if not table.rows and not table.problems:
        raise _unreadable(path, "0 rows", "at least one")
    return table._replace(total=max(table.row_numbers(), default=0))


def find_file(path: str) -> Path | None:
    """The first existing match of a recipe's path, or None."""
    return next((found for found in _candidates(path) if found.exists()), None)


def _candidates(path: str) -> Iterator[Path]:
    given = Path(path).expanduser()
    yield given
    if not given.is_absolute():
        yield from (folder / given for folder in search_folders.get())
        if given.parts[:1] == (_SHIPPED,):
            yield _PACKAGE / given


def _read_file(path: str, file: Path) -> Table:
    if file.is_dir():
        raise _unreadable(path, "a folder", "a file")
    reader = formats.READERS.get(file.suffix.lower())
    if reader is None:
        suffixes = ", ".join(formats.READERS)
        raise _unreadable(path, f"the suffix '{file.suffix}'", f"one of {suffixes}")
    try:
        return reader(path, file)
    except OSError as error:
        raise _unreadable(
            path, f"a file that cannot be read ({error.strerror})", "a file"
        ) from None


def _near_files(path: str) -> str:
    """`` Did you mean 'x'?`` for a file of nearly that name in the same folder."""
    for candidate in _candidates(path):
        if candidate.parent.is_dir():
            names = [entry.name for entry in candidate.parent.iterdir() if entry.is_file()]
            near = difflib.get_close_matches(candidate.name, names, n=1)
            if near:
                return f" Did you mean '{Path(path).with_name(near[0])}'?"
    return ""


def _unreadable(path: str, found: str, expected: str) -> DataError:
    return DataError([Problem(path, None, None, found, expected)])


__all__ = ["Row", "Table", "find_file", "read_rows", "search_folders"]
