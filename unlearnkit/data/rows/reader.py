"""Reads rows from files and data sets, and reports malformed lines."""

from __future__ import annotations

import difflib
import glob
import re
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path

from unlearnkit.data.rows import formats
from unlearnkit.data.rows.delimited import read_lines
from unlearnkit.data.rows.nested import rows_below
from unlearnkit.data.rows.opening import Unreadable, as_utf8, read_bytes, suffix_of
from unlearnkit.data.rows.splits import TRAIN, sliced, split_names
from unlearnkit.data.rows.table import Row, Table, joined
from unlearnkit.errors import DataError, Problem
from unlearnkit.files import at_home
from unlearnkit.moved import moved
from unlearnkit.redact import one_line

search_folders: ContextVar[tuple[Path, ...]] = ContextVar("search_folders", default=())
"""Folders in which a relative path is looked up after the working directory: the recipe's."""

_PACKAGE = Path(__file__).parents[2]
_SHIPPED = "tiny"
_DATASET_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")


def read_rows(
    path: str,
    *,
    split: str = "train",
    config: str | None = None,
    lines: bool = False,
    rows_at: str | None = None,
) -> Table:
    """The rows of a file, of several, or of a Hugging Face data set, in order.

    Files are JSON lines, JSON, CSV, TSV, Parquet or plain text, by their suffix, and may be
    compressed (``.gz``, ``.bz2``, ``.zst``, ``.lz4``); text is UTF-8, or UTF-16 with its byte
    order mark. A plain text file is one row with the field ``text``.

    Args:
        path: A file, absolute or relative to the working directory, to the recipe or to the
            package's own data (``tiny/book.jsonl``); a folder of files of one kind; a pattern
            such as ``data/*.jsonl``; a data set saved by ``save_to_disk``; else the id of one on
            the Hub.
        split: A split, or a part of one such as ``train[:70%]``. A file is the split ``train``;
            in a folder it is the file ``<split>.*``, or all files for ``train`` if there is none.
        config: Configuration of a data set on the Hub; of a folder, a file or folder in it.
        lines: Each line of a plain text file is a row, whatever the file's suffix.
        rows_at: Where the rows stand in the file's objects; see `rows_below`.

    Returns:
        The rows, and a problem for each line that cannot be read as one.

    Raises:
        DataError: If the file is missing, cannot be read or has no rows.
    """
    _refuse_unshown(path)
    file = find_file(path)
    if file is not None and config is not None:
        path, file = _configured(path, file, config)
    names = split_names(split)
    if file is not None and formats.is_saved(file):
        read = {name: [formats.read_saved(path, file, name)] for name in names}
    elif file is not None:
        read = {
            name: [_read_file(*each, lines) for each in _of_split(path, file, name)]
            for name in names
        }
    elif where := moved(path):
        raise _unreadable(path, "no such file", f"a file. {where}")
    elif not is_dataset_id(path):
        found = "no file of such a name" if _is_pattern(path) else "no such file"
        raise _unreadable(path, found, f"a file.{_near_files(path)}")
    else:
        table, split = formats.read_dataset(path, split, config), split.strip()
        read = {split: [table]}
    whole = {name: _whole(path, tables, rows_at) for name, tables in read.items()}
    table = sliced(path, split, whole)
    if not table.rows and not table.problems:
        raise _unreadable(path, "0 rows", "at least one")
    return table


def _whole(path: str, tables: list[Table], rows_at: str | None) -> Table:
    """All rows of a split, which several files may hold."""
    if rows_at is not None:
        tables = [rows_below(table, rows_at) for table in tables]
    tables = [
        table._replace(total=max(table.row_numbers(), default=0)) if not table.total else table
        for table in tables
    ]
    return tables[0] if len(tables) == 1 else joined(path, tables)


def _configured(path: str, found: Path, config: str) -> tuple[str, Path]:
    """The file or folder of a configuration in a folder."""
    if not found.is_dir() or formats.is_saved(found):
        kind = "a data set of save_to_disk" if found.is_dir() else "a file"
        raise _unreadable(path, f"config: {config}", f"none: {kind} has no configurations")
    inside = [each for each in found.iterdir() if not each.name.startswith(".")]
    for each in inside:
        is_rows = each.is_dir() or suffix_of(each) in formats.READERS
        if is_rows and config in (each.name, each.name.partition(".")[0]):
            return str(Path(path) / each.name), each
    names = ", ".join(sorted(each.name for each in inside)[:12]) or "nothing"
    raise _unreadable(path, f"config: {config}", f"a file or folder in it: {names}")


def _of_split(path: str, found: Path, split: str) -> list[tuple[str, Path]]:
    """Name and place of each file of a split."""
    if found.is_dir():
        own = [
            each
            for each in sorted(found.iterdir())
            if suffix_of(each) in formats.READERS
            and (each.name.startswith((f"{split}.", f"{split}-")))
        ]
        if own:
            return [(str(Path(path) / each.name), each) for each in own]
    if split != TRAIN:
        kind = "a folder without a file of that name" if found.is_dir() else "a file"
        problem = Problem(
            path, None, "split", f"'{split}' of {kind}", f"'{TRAIN}', or a part of it"
        )
        raise DataError(
            [problem],
            hint=f"A part is written {TRAIN}[:70%], {TRAIN}[100:200] or {TRAIN}[-10%:]. A folder "
            f"may hold a file for each split, such as {split}.jsonl.",
        )
    return _files(path, found)


def find_file(path: str) -> Path | None:
    """The first existing match of a recipe's path, or None; of a pattern, the first file."""
    candidates = list(_candidates(path))
    found = next((each for each in candidates if each.exists()), None)
    if found is None and _is_pattern(path):
        found = next((Path(each[0]) for each in map(_matches, candidates) if each), None)
    return found


def is_dataset_id(path: str) -> bool:
    """Whether rows of this path are asked for at the Hub: it has the form of an id, and no file.

    Example:
        >>> [is_dataset_id(each) for each in ("some/rows", "rows.jsonl", "tiny/book.jsonl")]
        [True, False, False]
    """
    is_id = suffix_of(path) not in formats.READERS and bool(_DATASET_ID.fullmatch(path))
    return is_id and find_file(path) is None and not moved(path)


def _is_pattern(path: str) -> bool:
    return glob.escape(path) != path


def _matches(pattern: Path) -> list[str]:
    return sorted(each for each in glob.glob(str(pattern), recursive=True) if Path(each).is_file())


def _files(path: str, found: Path) -> list[tuple[str, Path]]:
    """Name and place of each file that a path stands for."""
    if not found.is_dir():
        if not _is_pattern(path) or at_home(path).exists():
            return [(path, found)]
        matches = next(each for each in map(_matches, _candidates(path)) if each)
        return [(each, Path(each)) for each in matches]
    entries = sorted(each for each in found.iterdir() if not each.name.startswith("."))
    files = [each for each in entries if each.is_file() and suffix_of(each) in formats.READERS]
    kinds = sorted({suffix_of(each) for each in files})
    if len(kinds) != 1:
        kind = f"files of several kinds, {', '.join(kinds)}" if kinds else "no files of rows"
        pattern = Path(path) / f"*{kinds[0] if kinds else '.jsonl'}"
        expected = f"those of one kind, such as {pattern}"
        raise _unreadable(path, f"a folder with {kind}", expected)
    return [(str(Path(path) / each.name), each) for each in files]


def _candidates(path: str) -> Iterator[Path]:
    given = at_home(path)
    yield given
    if not given.is_absolute():
        yield from (folder / given for folder in search_folders.get())
        if given.parts[:1] == (_SHIPPED,):
            yield _PACKAGE / given


def _read_file(name: str, file: Path, lines: bool) -> Table:
    _refuse_unshown(name)
    suffix = suffix_of(file)
    if suffix not in formats.READERS and not lines:
        suffixes = ", ".join(formats.READERS)
        raise _unreadable(name, f"the suffix '{file.suffix}'", f"one of {suffixes}")
    if not file.is_file():
        raise _unreadable(name, "a pipe or a device, which is never read to its end", "a file")
    try:
        raw = read_bytes(file)
        if suffix not in formats.BINARY:
            raw = as_utf8(raw)
    except Unreadable as error:
        raise _unreadable(name, error.found, error.expected) from None
    except OSError as error:
        found = f"a file that cannot be read ({error.strerror})"
        raise _unreadable(name, found, "a file") from None
    if lines and formats.is_lines(suffix, raw):
        return read_lines(name, raw)
    return formats.READERS[suffix](name, raw)


def _refuse_unshown(name: str) -> None:
    """Refuses a name that is not shown as it is; each row is told by its file's."""
    if (shown := one_line(name)) != name:
        found = "line breaks or control characters in the name"
        raise _unreadable(shown, found, "one without them")


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


__all__ = ["Row", "Table", "find_file", "is_dataset_id", "read_rows", "search_folders"]
