"""One tokenised row."""

from __future__ import annotations

from typing import NamedTuple


class Example(NamedTuple):
    """A prompt and one response to it, as token ids.

    Tokenised once, at setup; prompt and response are tokenised apart and joined as ids, so the
    border between them is exact.
    """

    prompt_ids: tuple[int, ...]
    """Begins with BOS where the tokenizer has one; never empty."""
    response_ids: tuple[int, ...]
    """Ends with EOS (or the template's end of turn) unless the response was cut; never empty."""
    row: int
    """Index of the row in its stream, from 0."""
    source: str
    """``file:line`` the row was read from."""
