"""Finds passwords, tokens and keys that a text names, and leaves prose."""

from __future__ import annotations

import re

HIDDEN = "***"
_SURE = (
    r"(?:passwords?|passwd|passphrases?|passcodes?|pwd"
    r"|(?:api|wandb|account|private|ssh|signing|access|secret|client)[ _-]?(?:access[ _-]?)?"
    r"(?:keys?|secrets?|tokens?)(?:[ _-]?id)?)"
)
"""Names that stand before a secret, and seldom before a colon in prose."""
_UNSURE = r"(?:token|secrets?|credentials?|auth(?:orization)?|bearer|cookie)"
_NAME = (
    r"(?<![A-Za-z0-9])(?P<name>(?:[A-Za-z0-9]{1,40}[_.-]){0,6}"
    rf"(?:(?P<sure>{_SURE})|{_UNSURE}))(?![A-Za-z0-9_])"
)
_VALUE = r"(?P<value>\"[^\"\n]+\"|'[^'\n]+'|[^\s,;&#'\"\]})]+)"
_SCHEME = r"(?:(?:Bearer|Basic|Token|Digest|ApiKey)[ \t]+)?"
_BY = r"[\"'`*]{0,3}[ \t]{0,3}(?:=>|(?<![=!<>])=(?!=)|:(?!:)|\bis\b|\bwas\b)[*`]{0,2}[ \t]{0,3}"
_BEHIND = re.compile(rf"{_NAME}(?P<by>{_BY}{_SCHEME}){_VALUE}", re.IGNORECASE)
_OPTION = re.compile(
    rf"(?P<dashes>(?<![\w-])--?){_NAME.removeprefix('(?<![A-Za-z0-9])')}"
    rf"(?P<by>[\"']?[ \t]*,?[ \t]+{_SCHEME}){_VALUE}",
    re.IGNORECASE,
)
_IS = re.compile(r"\b(?:is|was)\b", re.IGNORECASE)
_AFTER_SCHEME = re.compile(r"[A-Za-z][ \t]+$")
_SPECIAL_TOKEN = re.compile(
    r"(?:.*[_.-])?(?:bos|eos|pad|unk|sep|cls|mask|start|end|image)_token$", re.IGNORECASE
)
"""Names of a tokenizer's own, which are no secrets."""
_PLACE = re.compile(r"[\[{<(*%|]|\$[A-Z{(]")
"""Begins what stands for a value: a field of a template, a variable, what is masked already."""
_WORD = re.compile(r"[^\W\d_]+(?:[-'\u2019][^\W\d_]+)*[.!?:]*")
_ENDS = re.compile(r"[ \t]*(?:[\n,;\]})\"'`]|$)")
_GOES_ON = """
a all also an and any are as ask at be been before but by can cannot could does each either empty
enter every expected false for forgotten found from give given had has have he her his how if in
into is it its line long may missing must my never new no none not null of off on one only optional
or our please required reset same see set shall she short should so some strong such than that the
their then there these they this those to too true two type under unknown use used was we weak what
when where which who why will with without wrong yes you your
"""
_NO_SECRETS = frozenset(_GOES_ON.split())
"""Words that go on a sentence, or say that there is none."""


def mask_named(text: str) -> str:
    """The text with ``***`` for what a name of a secret stands before.

    Values behind ``=`` are masked; behind a colon, and behind ``is``, those that read as values.
    Fields of templates and the words of a sentence stay.

    Example:
        >>> mask_named("Log in with password: swordfish, then go on.")
        'Log in with password: ***, then go on.'
        >>> mask_named("the password is a secret of the house")
        'the password is a secret of the house'
    """
    for pattern in (_OPTION, _BEHIND):
        text = pattern.sub(_masked, text)
    return text


def _masked(found: re.Match[str]) -> str:
    value, by = found["value"], found["by"]
    bare = value.strip("\"'`")
    kept = (
        _PLACE.match(bare) is not None
        or bare.lower().rstrip(".!?:") in _NO_SECRETS
        or _SPECIAL_TOKEN.match(found["name"]) is not None
    )
    if kept or not _is_value(found, by, bare, quoted=bare != value):
        return found[0]
    start, end = (place - found.start() for place in found.span("value"))
    mark = value[0] if bare != value else ""
    return f"{found[0][:start]}{mark}{HIDDEN}{mark}{found[0][end:]}"


def _is_value(found: re.Match[str], by: str, bare: str, quoted: bool) -> bool:
    """Whether it is no word of a sentence."""
    sure = found["sure"] is not None
    word = _WORD.fullmatch(bare) is not None
    mixed = bare[1:] != bare[1:].lower() and bare != bare.upper()
    if _IS.search(by):
        return sure and (mixed or not word or (quoted and " " not in bare))
    if "=" in by or "dashes" in found.groupdict() or _AFTER_SCHEME.search(by):
        return True
    if sure or (quoted and found["value"][0] != "`" and " " not in bare):
        return True
    if not word or mixed:
        return not (quoted or bare.rstrip(".!?:").isdigit())
    # A word behind a colon is a value where nothing else stands on its line.
    before = found.string.rfind("\n", 0, found.start()) + 1
    alone = not found.string[before : found.start()].strip(" \t-{[\"'")
    ends = _ENDS.match(found.string, found.end()) is not None
    return alone and ends and found["name"].lower().endswith("token")
