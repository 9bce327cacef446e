"""Word splitters for ROUGE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from unlearnkit.errors import RecipeError
from unlearnkit.functional.text import RougeCompat, rouge
from unlearnkit.suites.parts.measured import by_stream

Splitter: TypeAlias = Literal["unicode", "published"]
SPLITTERS: dict[Splitter, RougeCompat | None] = {"unicode": None, "published": "rouge-score"}
"""The ``compat`` of `rouge` by splitter."""


def check_splitter(suite: str, splitter: Splitter) -> Splitter:
    """Gives a splitter back.

    Raises:
        RecipeError: If there is none of that name.
    """
    if splitter not in SPLITTERS:
        raise RecipeError(f"{suite}: splitter is one of {', '.join(SPLITTERS)}, found '{splitter}'")
    return splitter


def without_ascii_words(rows: Sequence[Mapping[str, Any]], splitter: Splitter) -> list[str]:
    """How many true texts count 0 since the published splitter finds no word in them.

    Example:
        >>> without_ascii_words([{"stream": "forget", "reference": "吾輩"}], "published")
        ['forget: 1 of 1 true texts has no word in ASCII letters, and counts 0 as published']
    """
    notes: list[str] = []
    for stream, part in by_stream(rows).items() if splitter == "published" else ():
        texts = [row["reference"] for row in part if "reference" in row]
        count = sum(not rouge(text, text, compat="rouge-score").recall for text in texts)
        if count:
            verbs = ("has", "counts") if count == 1 else ("have", "count")
            notes.append(
                f"{stream}: {count} of {len(texts)} true texts {verbs[0]} no word in ASCII "
                f"letters, and {verbs[1]} 0 as published"
            )
    return notes
