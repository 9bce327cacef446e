"""Opens files of any supported compression and encoding."""

from __future__ import annotations

import codecs
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnkit.errors import Place, Problem

if TYPE_CHECKING:
    from unlearnkit.data.rows.table import Table

COMPRESSED = (".gz", ".bz2", ".zst", ".lz4")
"""Suffixes behind the format's own, as in ``forget.jsonl.gz``."""
# Of two that begin alike the longer comes first.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


_UTF8 = "UTF-8 text (of a file in Latin-1, `iconv -f latin1 -t utf-8 FILE` makes it)"


class Unreadable(ValueError):
    """A file whose bytes are not what they should be; names what was found and expected."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"found {found}, expected {expected}")
        self.found, self.expected = found, expected


def suffix_of(path: str | Path) -> str:
    """The suffix of a file's format, in small letters.

    Example:
        >>> suffix_of("data/forget.JSONL.gz"), suffix_of("forget.gz"), suffix_of("forget")
        ('.jsonl', '', '')
    """
    path = Path(path)
    if path.suffix.lower() in COMPRESSED:
        path = path.with_suffix("")
    return path.suffix.lower()


def read_bytes(path: Path) -> bytes:
    """The file's content, decompressed.

    Raises:
        OSError: If it cannot be read.
        Unreadable: If it is not compressed as its suffix says, or is cut off.
    """
    if path.suffix.lower() not in COMPRESSED:
        return path.read_bytes()
    import pyarrow

    with path.open("rb") as file:
        codec = pyarrow.Codec.detect(str(path)).name
        try:
            return pyarrow.CompressedInputStream(file, codec).read()
        except OSError as error:
            raise Unreadable(
                f"broken {path.suffix} ({error})", f"a file compressed with {codec}"
            ) from None


def as_utf8(raw: bytes) -> bytes:
    """Text in UTF-8 without a byte order mark; what has another's is encoded anew.

    Raises:
        Unreadable: If it holds NUL bytes, or is not encoded as its byte order mark says.
    """
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            raw = raw[len(mark) :]
            if encoding != "utf-8":
                raw = _encoded_anew(raw, encoding, len(mark))
            break
    if (place := raw.find(b"\0")) >= 0:
        raise Unreadable(
            f"a NUL byte at byte {place + 1}, as in UTF-16 without a byte order mark",
            "text in UTF-8, or in UTF-16 with its mark",
        )
    return raw


def _encoded_anew(raw: bytes, encoding: str, skipped: int) -> bytes:
    try:
        return raw.decode(encoding).encode("utf-8")
    except UnicodeDecodeError as error:
        found = f"bytes at byte {error.start + skipped + 1} that are not {encoding.upper()}"
        raise Unreadable(found, f"{encoding.upper()}, as its byte order mark says") from None


def decoded_line(table: Table, line: bytes, place: Place | int) -> str | None:
    """The text of a line, or None and a problem."""
    try:
        return line.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte 0x{line[error.start]:02X} at byte {error.start + 1}, which is not UTF-8"
        table.problems.append(Problem(table.file, place, None, found, _UTF8))
        return None


def decoded(table: Table, raw: bytes) -> str | None:
    """The whole text, or None and a problem for each line that is not UTF-8."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        for number, line in enumerate(raw.split(b"\n"), start=1):
            decoded_line(table, line, number)
        return None
