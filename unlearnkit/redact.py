"""Escapes text of models and data, and masks secrets."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable
from html import escape

HIDDEN = "***"
_SECRET = r"(?:token|api[_-]?key|access[_-]?key|secret|password|passwd|credentials?)"
_SECRET_VARIABLE = re.compile(r"(?:^|_)(?:TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIALS?)S?$")
_SECRET_OPTION = re.compile(rf"-{{1,2}}(?:[\w.-]*[._-])?{_SECRET}$", re.IGNORECASE)
_SHAPES = re.compile(
    r"\b(?:hf_|gh[pousr]_|github_pat_|sk-|glpat-|xox[abprs]-)[\w-]{16,}"  # services' own prefixes
    r"|\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"
    r"|(?<=://)[^\s/@]+:[^\s/@]+(?=@)"  # user and password of an address
)
_FORMULA = tuple("=+-@\uff1d\uff0b\uff0d\uff20")  # and their wide forms
_BREAKS = ("\t", "\n")
# Shorter values of variables are as likely to be words of a recipe.
_SHORTEST_SECRET = 8


def printable(text: str) -> str:
    r"""The text with control characters written out, so that none reaches a terminal.

    Line breaks and tabs stay. Bidirectional overrides and other invisible format characters are
    written out too, except those that join letters and emoji.

    Example:
        >>> printable("a\x1b[31mb")
        'a\\x1b[31mb'
    """
    return "".join(_shown(character) for character in text)


def spreadsheet_text(text: str) -> str:
    r"""A cell that no spreadsheet takes for a formula, and no terminal for a control sequence.

    Example:
        >>> spreadsheet_text("=1+1"), spreadsheet_text("npo"), spreadsheet_text("a\x1b[2J")
        ("'=1+1", 'npo', 'a\\x1b[2J')
    """
    shown = printable(text)
    # Spreadsheets drop what is white before a formula.
    return f"'{shown}" if shown.lstrip()[:1] in _FORMULA or shown[:1] in _BREAKS else shown


def markdown_cell(text: str) -> str:
    r"""A cell of a Markdown table: one line, without tags, links and code.

    Example:
        >>> markdown_cell("<b>a|b</b>")
        '&lt;b&gt;a\\|b&lt;/b&gt;'
    """
    line = escape(" ".join(printable(text).split()), quote=False)
    return re.sub(r"([\\|`\[\]])", r"\\\1", line)


def redacted(text: str) -> str:
    """The text without secrets: values of variables such as ``HF_TOKEN``, and what looks like one.

    Example:
        >>> redacted("https://user:password@example.org/data.jsonl")
        'https://***@example.org/data.jsonl'
    """
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET_VARIABLE.search(name):
            text = text.replace(value, HIDDEN)
    return _SHAPES.sub(HIDDEN, text)


def redacted_words(words: Iterable[str]) -> list[str]:
    """A command line without secrets: `redacted`, and no value of an option that is named for one.

    Example:
        >>> redacted_words(["fit", "--hub_token", "abc", "--api-key=abc", "--lr", "1"])
        ['fit', '--hub_token', '***', '--api-key=***', '--lr', '1']
    """
    found: list[str] = []
    hide = False
    for word in words:
        flag, equals, _ = word.partition("=")
        secret = _SECRET_OPTION.match(flag) is not None
        if hide and not word.startswith("--"):
            found.append(HIDDEN)
        else:
            found.append(f"{flag}={HIDDEN}" if secret and equals else redacted(word))
        hide = secret and not equals
    return found


def _shown(character: str) -> str:
    if character in "\n\t\u200c\u200d":
        return character
    if unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs"):
        code = ord(character)
        return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
    return character
