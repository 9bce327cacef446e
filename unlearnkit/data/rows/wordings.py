"""Further wordings of a row: columns, frames, and answers of a model."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from unlearnkit.data.rows.reader import Row, read_rows
from unlearnkit.data.rows.same import plain
from unlearnkit.data.rows.values import kind_of, quoted, text_fault
from unlearnkit.errors import DataError, Problem

Pair = tuple[str, str]
"""A prompt and its response, as text."""
_WORD = re.compile(r"\w+")
_SHORT = 4
"""Words of fewer letters say little by themselves, unless they are names or numbers."""


def texts_of(row: Row, file: str, column: str) -> tuple[list[str], list[Problem]]:
    """Wordings in a column, which holds a text or an array of texts.

    Example:
        >>> from unlearnkit.errors import Place
        >>> texts_of(Row(Place(1), {"more": ["Who?", "Whose?"]}), "x.jsonl", "more")
        (['Who?', 'Whose?'], [])
    """
    value: Any = row.fields.get(column)
    if column not in row.fields:
        found = f"the fields {quoted(row.fields)}"
        return [], [Problem(file, row.place, column, found, f"'{column}'")]
    each: list[Any] = value if isinstance(value, list) else [value]
    faults = [(n, fault) for n, text in enumerate(each, 1) if (fault := text_fault(text))]
    if not each or faults:
        found = "; ".join(f"text {n}: {fault}" for n, fault in faults) or "an empty array"
        found = found if isinstance(value, list) else kind_of(value) if each else found
        return [], [Problem(file, row.place, column, found, "a text, or an array of texts")]
    return list(each), []


class Drawn(NamedTuple):
    """Answers of a model that was asked to say something in other words."""

    file: str
    by_text: Mapping[str, Sequence[str]]
    """Answers by the text that was reworded, in the form in which texts are compared."""

    def of(self, text: str) -> Sequence[str]:
        """Wordings of a text; none if the file has it not."""
        return self.by_text.get(plain(text), ())


def read_drawn(file: str) -> Drawn:
    """Reads a file that ``unlearnkit sample`` wrote.

    Raises:
        DataError: If there is no such file, or with every row that is not of that form.
    """
    table = read_rows(file)
    problems = list(table.problems)
    found: dict[str, list[str]] = {}
    for row in table.rows:
        prompt: Any = row.fields.get("prompt")
        samples: Any = row.fields.get("samples")
        if not isinstance(prompt, str) or not _are_samples(samples):
            expected = "`prompt`, and `samples` with `text`, as `unlearnkit sample` writes them"
            problems.append(Problem(file, row.place, None, quoted(row.fields), expected))
            continue
        texts = [each["text"].strip() for each in samples if each.get("ended", True)]
        found.setdefault(plain(prompt), []).extend(text for text in texts if text)
    if problems:
        raise DataError(problems)
    return Drawn(file, found)


def _are_samples(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, Mapping) and isinstance(each.get("text"), str) for each in value
    )


def asks_the_same(own: Pair, prompt: str) -> bool:
    """Whether a drawn wording of a prompt names what the own one names, and gives no answer away.

    Names and numbers that prompt and response share must be in it, and nothing of what the
    response adds.

    Example:
        >>> own = ("Where was Ada Vell born?", "Ada Vell was born in Cork.")
        >>> [asks_the_same(own, t) for t in ("Ada Vell is from where?", "Was Ada Vell from Cork?")]
        [True, False]
        >>> asks_the_same(own, "Where was she born?")
        False
    """
    said = _words(prompt)
    later = _WORD.findall(own[0])[1:]  # the first word of a sentence has a capital anyway
    names = {word.casefold() for word in later if _is_name(word)} & _words(own[1])
    return names <= said and not _added(own) & said


def answers_the_same(own: Pair, response: str) -> bool:
    """Whether a drawn wording of a response keeps the words that answer the prompt.

    Those are the words of the response that the prompt has not: names, numbers, and words of at
    least four letters.

    Example:
        >>> own = ("Where was Ada Vell born?", "Ada Vell was born in Cork.")
        >>> [answers_the_same(own, t) for t in ("Cork is her home.", "Ada comes from Porto.")]
        [True, False]
    """
    return _added(own) <= _words(response)


def distinct(pairs: Iterable[Pair]) -> Iterator[Pair]:
    """Pairs of which no two are equal up to case, white space and punctuation at the ends."""
    seen: set[tuple[str, str]] = set()
    for prompt, response in pairs:
        if (key := (plain(prompt), plain(response))) not in seen:
            seen.add(key)
            yield prompt, response


def _added(own: Pair) -> set[str]:
    """What answers the prompt: the telling words of the response that the prompt has not."""
    first, *later = _WORD.findall(own[1]) or [""]
    asked = _words(own[0])
    telling = {word.casefold() for word in later if len(word) >= _SHORT or _is_name(word)}
    if len(first) >= _SHORT:
        telling.add(first.casefold())
    # A short first word is an article more often than the answer, unless nothing else is there.
    return telling - asked or {first.casefold()} - asked


def _words(text: str) -> set[str]:
    return {word.casefold() for word in _WORD.findall(text)}


def _is_name(word: str) -> bool:
    return word[0].isupper() or word[0].isdigit()
