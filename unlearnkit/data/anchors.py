"""Dictionary of anchor terms with generic ones in their place."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from unlearnkit.data.rows.reader import Row, read_rows
from unlearnkit.data.rows.values import check_columns
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, Problem

logger = logging.getLogger(__name__)

_SAMPLES, _KEYS = "samples", ("term", "generic")
# A line of a list: `Harry: Jon`, `- "Harry" -> "Jon"`, `1. Harry = Jon`.
_LINE = re.compile(
    r"""^\s*(?:[-*]|\d+[.)])?\s*["']?(.+?)["']?\s*(?:->|=>|:|=)\s*["']?(.+?)["',]*\s*$"""
)
_AGAIN = re.compile(r"->|=>|:|=")
_SHOWN = 5
_HINT = (
    'A line is {"term": "Harry", "generic": "Jon"}, or what `unlearnkit sample` wrote of a model '
    "that was asked for lines `TERM: GENERIC`."
)


class Translated(NamedTuple):
    """Tokens with their anchored terms exchanged."""

    ids: list[int]
    place: list[int | None]
    """For each of the original tokens its place in `ids`; None within a term."""
    starts: dict[int, int]
    """Place of a term's first original token, to its number in the dictionary."""


class Anchors:
    """Terms that a text is known by, each with a generic one in its place.

    Args:
        terms: Generic expression by term.

    Example:
        >>> Anchors({"Hogwarts": "Mystic Academy"}).terms
        {'Hogwarts': 'Mystic Academy'}

    References:
        Eldan and Russinovich 2023, "Who's Harry Potter?", arXiv 2310.02238, section 2.2.
    """

    def __init__(self, terms: Mapping[str, str]) -> None:
        self.terms = dict(terms)

    def tokens(self, codec: Codec) -> Tokens:
        """The dictionary in a tokenizer's tokens, at a text's start and behind a space."""

        def continues(token: int) -> bool:
            piece = codec.tokenizer.convert_ids_to_tokens(token)
            return isinstance(piece, str) and piece[:1].isalnum() and piece[:1].isascii()

        pairs: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = []
        for number, (term, generic) in enumerate(self.terms.items()):
            for before in ("", " "):
                own, other = codec.tokens([before + term, before + generic])
                pairs.append((number, tuple(own), tuple(other)))
        return Tokens(pairs, continues)

    def lines(self) -> Iterator[str]:
        """The file's lines, one a term."""
        for term, generic in self.terms.items():
            yield json.dumps({"term": term, "generic": generic}, ensure_ascii=False) + "\n"


class Tokens:
    """A dictionary in token ids; the longest term that stands at a place is the one that counts.

    Args:
        pairs: Number, term and generic expression, as token ids.
        continues: Whether a token goes on with the word before it, so that a term ends elsewhere.

    Example:
        >>> Tokens([(0, (5, 6), (9,))]).translate([4, 5, 6, 7])
        Translated(ids=[4, 9, 7], place=[0, None, 1, 2], starts={1: 0})
    """

    def __init__(
        self,
        pairs: Iterable[tuple[int, tuple[int, ...], tuple[int, ...]]],
        continues: Callable[[int], bool] = lambda token: False,
    ) -> None:
        self._continues = continues
        self.generic: dict[int, set[int]] = {}
        """First tokens of each term's generic expression, by the term's number."""
        self._by_first: dict[int, list[tuple[int, tuple[int, ...], tuple[int, ...]]]] = {}
        for number, own, other in sorted(pairs, key=lambda pair: -len(pair[1])):
            if own and other:
                self._by_first.setdefault(own[0], []).append((number, own, other))
                self.generic.setdefault(number, set()).add(other[0])

    def translate(self, ids: Sequence[int]) -> Translated:
        """Exchanges terms for generic expressions.

        The last token of a term answers to the last of its expression, so that what follows the one
        is predicted by what follows the other; the tokens before it answer to none.
        """
        found = Translated([], [], {})
        at = 0
        while at < len(ids):
            number, own, other = self._at(ids, at)
            if number is not None:
                found.starts[at] = number
                found.place.extend([None] * (len(own) - 1))
            found.ids.extend(other)
            found.place.append(len(found.ids) - 1)
            at += len(own)
        return found

    def _at(
        self, ids: Sequence[int], at: int
    ) -> tuple[int | None, tuple[int, ...], tuple[int, ...]]:
        for number, own, other in self._by_first.get(ids[at], ()):
            end = at + len(own)
            whole = end == len(ids) or not self._continues(ids[end])
            if whole and tuple(ids[at:end]) == own:
                return number, own, other
        return None, (ids[at],), (ids[at],)


def read_anchors(path: str) -> Anchors:
    """Reads a dictionary, or a model's answers that hold one.

    Of answers a line counts if it is a term and one expression, the term stands in the prompt,
    which is the text, and the expression does not; a term that has several keeps its first. A
    warning says how many lines were left out, and which terms ask for a look.

    Raises:
        DataError: If there is no such file, with every bad line, or if it has no term.
    """
    table = read_rows(path)
    terms: dict[str, str] = {}
    problems = list(table.problems)
    faults: list[str] = []
    if not any(_SAMPLES in row.fields for row in table.rows):
        check_columns(table, {key: key for key in _KEYS}, _HINT)
    for row in table.rows:
        if _SAMPLES in row.fields:
            faults += _drawn(row, terms)
            continue
        wrong = list(_wrong(path, row))
        problems += wrong
        if wrong:
            continue
        term, generic = (str(row.fields[key]).strip() for key in _KEYS)
        if terms.setdefault(term, generic) != generic:
            found = f"'{generic}' for '{term}'"
            expected = f"'{terms[term]}', as in a line before"
            problems.append(Problem(path, row.place, "generic", found, expected))
    left_out = Counter(filter(None, faults))
    if not problems and not terms:
        said = f" ({_told(left_out)})" if left_out else ""
        problems = [
            Problem(path, None, None, f"no term of the texts{said}", "a dictionary of them")
        ]
    if problems:
        raise DataError(problems, hint=_HINT)
    if faults:
        named = len(faults) - left_out.total()
        words = f"{named} of {len(faults)} lines name {len(terms)} terms"
        words += f"; left out: {_told(left_out)}" if left_out else ""
        logger.warning("%s: %s", path, words)
    for remark in _remarks(terms):
        logger.warning("%s: %s", path, remark)
    return Anchors(terms)


def _wrong(path: str, row: Row) -> Iterator[Problem]:
    given = {key: row.fields.get(key) for key in _KEYS}
    for key, value in given.items():
        if not isinstance(value, str) or not value.strip():
            yield Problem(path, row.place, key, f"{value!r}", "a text that is not empty")
    if given["term"] and given["term"] == given["generic"]:
        found = f"'{given['generic']}', the term itself"
        yield Problem(path, row.place, "generic", found, "another text in its place")


def _drawn(row: Row, terms: dict[str, str]) -> Iterator[str]:
    """The fault of each line of a row's answers, empty of a good one, whose term is taken."""
    text = str(row.fields.get("prompt", ""))
    for answer in row.fields[_SAMPLES] or ():
        given = answer if isinstance(answer, Mapping) else {}
        said = str(given.get("text", ""))
        lines = said.splitlines()
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            cut = number == len(lines) and not given.get("ended", True) and said[-1] != "\n"
            yield "cut at the longest answer" if cut else _read(line, text, terms)


def _read(line: str, text: str, terms: dict[str, str]) -> str:
    """Takes a line's term; its fault if it has one."""
    match = _LINE.match(line)
    if match is None or _AGAIN.search(match[2]):
        return "not of the form TERM: GENERIC"
    term, generic = (part.strip() for part in match.groups())
    if not generic or not _stands(term, text):
        return "with a term that is not in the text"
    if _stands(generic, text):
        return "with an expression that is in the text"
    if _stands(term, generic):
        return "with the term in its expression"
    if term in terms:
        return "on a term of a line before"
    terms[term] = generic
    return ""


def _stands(words: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(words)}(?!\w)", text) is not None


def _told(left_out: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {fault}" for fault, count in sorted(left_out.items()))


def _remarks(terms: Mapping[str, str]) -> Iterator[str]:
    """What may be wrong with a dictionary, to be looked at."""
    common = [term for term in terms if term == term.lower() and not any(map(str.isdigit, term))]
    if common:
        yield f"terms without a capital, which may be ordinary words: {_few(common)}"
    inner = [
        f"{term} ({generic})"
        for term, generic in terms.items()
        if any(_stands(other, generic) for other in terms)
    ]
    if inner:
        yield f"expressions that hold a term of the dictionary: {_few(inner)}"
    by_generic: defaultdict[str, list[str]] = defaultdict(list)
    for term, generic in terms.items():
        by_generic[generic].append(term)
    several = [f"{key} ({', '.join(own)})" for key, own in by_generic.items() if len(own) > 1]
    if several:
        yield f"one expression for several terms, which become one: {_few(several)}"


def _few(words: Sequence[str]) -> str:
    more = len(words) - _SHOWN
    return ", ".join(words[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
