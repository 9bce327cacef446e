"""Text of models and data sets, made safe to show."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    r"""The text with control characters written out, so that none reaches a terminal.

    Line breaks and tabs stay. Bidirectional overrides and other invisible format characters are
    written out too, except those that join letters and emoji.

    Example:
        >>> printable("a\x1b[31mb")
        'a\\x1b[31mb'
    """
    return "".join(_shown(character) for character in text)


def _shown(character: str) -> str:
    if character in "\n\t\u200c\u200d":
        return character
    if unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs"):
        code = ord(character)
        return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    return character
