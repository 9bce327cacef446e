"""Words of a generation that stand in the true answer."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import NamedTuple

SHORTEST_RUN = 3
"""Words in a row that count as recited; shorter runs are shared by chance."""
# Thai, Japanese and Chinese are written without spaces: each sign is a word.
_PIECES = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff]|\w+|\s+|[^\w\s]")


class Piece(NamedTuple):
    """A stretch of text, and whether it stands in the true answer too."""

    text: str
    recited: bool


def mark_recited(generated: str, true: str) -> list[Piece]:
    """Cuts a generation into stretches that repeat the true answer and stretches that do not.

    A stretch repeats it if `SHORTEST_RUN` words in a row do, or all of a shorter answer.

    Example:
        >>> mark_recited("He saw the cat sat down.", "the cat sat on")
        [Piece(text='He saw ', recited=False), Piece(text='the cat sat', recited=True), \
Piece(text=' down.', recited=False)]
    """
    ours, theirs = _PIECES.findall(generated), _PIECES.findall(true)
    words = [i for i, piece in enumerate(ours) if not piece.isspace()]
    true_words = [piece for piece in theirs if not piece.isspace()]
    matcher = SequenceMatcher(None, [ours[i] for i in words], true_words, autojunk=False)
    least = min(SHORTEST_RUN, len(true_words))
    recited = [False] * len(ours)
    for start, _, size in matcher.get_matching_blocks():
        if size and size >= least:
            first, last = words[start], words[start + size - 1]
            recited[first : last + 1] = [True] * (last + 1 - first)
    found: list[Piece] = []
    for text, is_recited in zip(ours, recited, strict=True):
        if found and found[-1].recited == is_recited:
            found[-1] = Piece(found[-1].text + text, is_recited)
        else:
            found.append(Piece(text, is_recited))
    return found
