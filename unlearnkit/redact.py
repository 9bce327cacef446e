"""Escapes text of models and data, and masks secrets."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from unlearnkit.errors import RecipeError
from unlearnkit.secret_text import HIDDEN, mask_named

_SECRET = (
    r"(?:token|(?:api|wandb|account|private|ssh|signing)[_-]?keys?|access[_-]?keys?(?:[_-]?id)?"
    r"|secrets?(?:[_-]?(?:access[_-]?)?keys?)?|passwords?|passwd|passphrases?|passcodes?|pwd"
    r"|credentials?"
    r"|auth(?:orization)?|bearer|cookie)"
)
_SECRET_VARIABLE = re.compile(r"(?:^|_)(?:TOKEN|KEY|SECRET|PASSWORD|PASSWD|CREDENTIALS?)S?$")
_SECRET_KEY = re.compile(rf"(?:.*[._-])?{_SECRET}$", re.IGNORECASE)
_WORDS_OF_CAMELS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_IN_A_WORD = re.compile(
    r"(?P<name>[\"']?\b[\w-]*?" + _SECRET + r"[\"']?\s*:\s*)(?P<value>[^,}\]\s]+)",
    re.IGNORECASE,
)
"""A value behind a key, in a mapping that is written as one word."""
_SPECIAL_TOKEN = re.compile(r"(?:.*_)?(?:bos|eos|pad|unk|sep|cls|mask|start|end|image)_token$")
"""Names of a tokenizer's own, which are no secrets."""
_SHAPES = re.compile(
    # Services' own prefixes.
    r"\b(?:hf_|api_org_|gh[pousr]_|github_pat_|sk-|rk_live_|sk_live_|sk_test_|glpat-|xox[abeprs]-"
    r"|r8_|npm_|pypi-|dop_v1_|wandb_v1_|ya29\.|gsk_|nvapi-|xai-|pplx-|dapi)[\w-]{16,}"
    r"|\b(?:AKIA|ASIA|AROA|AIDA)[0-9A-Z]{16}\b"
    r"|\bAIza[\w-]{30,}"
    r"|\bSG\.[\w-]{16,}\.[\w-]{16,}"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"  # a JSON web token
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)"
    # User, password or token of an address; a password may hold a slash.
    r"|(?<=://)(?:[^\s/?#]+|[^\s/?#@:]+:[^\s@]+)(?=@)",
    re.DOTALL,
)
_NAMED = re.compile(
    r"(?P<name>[?&#;]?(?<![A-Za-z])(?:[\w-]*[_-])?(?:" + _SECRET + r"|sig|signature|sas"
    r"|awsaccesskeyid|googleaccessid|accountkey|client_secret))(?P<by>=)(?P<value>[^\s&#;'\"]+)",
    re.IGNORECASE,
)
"""A value behind a name, as in query strings, connection strings and exports."""
_KEY_ALONE = re.compile(
    r"[?&](?:key|k|auth|pass|pw|pin|sid|session(?:_?id)?|jwt|x-amz-[a-z-]+|x-goog-[a-z-]+)=([^\s&#]+)",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"\b(?:Bearer|Basic)\s+([\w.~+/=-]{8,})")
_HEXADECIMAL = re.compile(r"[0-9a-f]{40}")
"""A key of W&B, or a commit."""
_COMMITS = re.compile(r"(?:.*_)?(?:revision|commit|sha|hash|digest|fingerprint)$")
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
    if text.isprintable():
        return text
    return "".join(_shown(character) for character in text)


def one_line(text: str) -> str:
    r"""The text with line breaks and tabs written out too, as a name of a file is shown.

    Example:
        >>> one_line("a\nb.jsonl")
        'a\\nb.jsonl'
    """
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")


def refuse_control_characters(name: str, key: str) -> None:
    r"""Refuses a name of a file or folder that would not be shown as it is.

    Args:
        name: The name.
        key: What it is given by.

    Raises:
        RecipeError: If it has a line break or a control character.

    Example:
        >>> refuse_control_characters("rows 1.jsonl", "path")
        >>> refuse_control_characters("a\nb.jsonl", "path")
        Traceback (most recent call last):
        unlearnkit.errors.RecipeError: path: line breaks or control characters in 'a\nb.jsonl'
        Give the file or folder a name without them.
    """
    if (shown := one_line(name)) != name:
        raise RecipeError(
            f"{key}: line breaks or control characters in '{shown}'",
            hint="Give the file or folder a name without them.",
        )


def is_path(name: str) -> bool:
    r"""Whether a name would lead out of the folder that a file of that name is in.

    Example:
        >>> [is_path(name) for name in ("forget", "a.b", "../x", "a\\b", "..")]
        [False, False, True, True, True]
    """
    return "/" in name or "\\" in name or name in (".", "..")


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
    r"""A cell of a Markdown table: one line, without tags, links and code, and no formula.

    Example:
        >>> markdown_cell("<b>a|b</b>"), markdown_cell("=1+1")
        ('&lt;b&gt;a\\|b&lt;/b&gt;', '\\=1+1')
    """
    line = escape(" ".join(printable(text).split()), quote=False)
    line = re.sub(r"([\\|`\[\]])", r"\\\1", line)
    # The source of a table is pasted into spreadsheets too; shown, the backslash is not there.
    return f"\\{line}" if line[:1] in _FORMULA else line


def redacted(text: str) -> str:
    """The text without secrets: values of variables such as ``HF_TOKEN``, and what looks like one.

    Example:
        >>> redacted("https://user:password@example.org/data.jsonl?token=abc")
        'https://***@example.org/data.jsonl?token=***'
    """
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET_VARIABLE.search(name):
            text = text.replace(value, HIDDEN)
    text = _NAMED.sub(rf"\g<name>\g<by>{HIDDEN}", _SHAPES.sub(HIDDEN, text))
    for pattern in (_KEY_ALONE, _SCHEME):
        text = pattern.sub(lambda found: found[0].removesuffix(found[1]) + HIDDEN, text)
    return mask_named(text)


def redacted_values(value: Any, key: str = "") -> Any:
    """A tree of plain values without secrets, by their keys and by their shapes.

    Args:
        value: Mappings, lists and scalars.
        key: The key that it stands under.

    Example:
        >>> redacted_values({"hub_token": "abc", "pad_token": "<pad>", "max_tokens": 5})
        {'hub_token': '***', 'pad_token': '<pad>', 'max_tokens': 5}
    """
    named = _is_secret(key)
    if isinstance(value, Mapping):
        # {name: API_KEY, value: ...}, as variables and headers are given.
        of_name = any(_is_secret(str(value.get(each))) for each in ("name", "key", "header"))
        return {
            redacted(each) if isinstance(each, str) else each: redacted_values(
                below, key if named else "secret" if of_name and each == "value" else str(each)
            )
            for each, below in value.items()
        }
    if isinstance(value, list | tuple):
        shown = [redacted_values(each, key) for each in value]
        # Options and their values, as a command is given.
        hide = [False, *(_asks_for_secret(each) for each in value)]
        return [HIDDEN if secret and not _is_option(each) else each
                for secret, each in zip(hide, shown, strict=False)]  # fmt: skip
    if named and value and not isinstance(value, bool):
        return HIDDEN
    if not isinstance(value, str):
        return value
    if _HEXADECIMAL.fullmatch(value) and not _COMMITS.match(key):
        return HIDDEN
    return redacted(value)


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
        names = flag.lstrip("-").rstrip("+").split(".") if flag.startswith("-") else []
        secret = any(map(_is_secret, names))
        if hide and not word.startswith("--"):
            found.append(HIDDEN)
        else:
            shown = redacted(word)
            if set(word) & {"{", "["}:
                shown = _IN_A_WORD.sub(rf"\g<name>{HIDDEN}", shown)
            found.append(f"{flag}={HIDDEN}" if secret and equals else shown)
        hide = secret and not equals
    return found


def _is_option(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("--")


def _asks_for_secret(value: Any) -> bool:
    """Whether it is an option whose value, a secret, comes next."""
    return isinstance(value, str) and value.startswith("-") and _is_secret(value.lstrip("-"))


def _is_secret(key: str) -> bool:
    """Whether the name of a value says that it is a secret."""
    words = _WORDS_OF_CAMELS.sub("_", key)
    return _SECRET_KEY.match(words) is not None and _SPECIAL_TOKEN.match(words) is None


def _shown(character: str) -> str:
    if character in "\n\t\u200c\u200d":
        return character
    if unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs", "Zl", "Zp"):
        code = ord(character)
        if code < 256:
            return f"\\x{code:02x}"
        return f"\\u{code:04x}" if code < 2**16 else f"\\U{code:08x}"
    return character
