"""Comparison of an answer with the value of a record's field."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from difflib import SequenceMatcher

from unlearnkit.functional.text import words

_LEAST_DIGITS = 5
# Digits with what people write between them; a comma or a word ends a number.
_NUMBER = re.compile(r"\d(?:[\s().\-/\u2010-\u2015]*\d)*")


def is_number(value: str) -> bool:
    """Whether a value is compared by its digits alone: a phone number, or a date of digits.

    Example:
        >>> is_number("+999 (0) 41-82 77"), is_number("41 Mill Street"), is_number("41")
        (True, False, False)
    """
    digits = sum(map(str.isdecimal, value))
    return digits >= _LEAST_DIGITS and not any(map(str.isalpha, value))


def holds_value(text: str, value: str) -> bool:
    """Whether a text tells a value whole.

    Of a number the digits count, however they are grouped; of anything else the words, in their
    order and next to each other, in any case.

    Args:
        text: What a model said.
        value: The field's value.

    Example:
        >>> holds_value("Call +999-4182-7731.", "+999 4182 7731")
        True
        >>> holds_value("Call +999 4182 7732.", "+999 4182 7731")
        False
        >>> holds_value("She lives at 7 MILL street, Bergen.", "7 Mill Street")
        True
    """
    if is_number(value):
        wanted = _digits(value)
        return any(wanted in found for found in _numbers(text))
    wanted = words(value)
    said = words(text)
    starts = range(len(said) - len(wanted) + 1)
    return any(said[i : i + len(wanted)] == wanted for i in starts) if wanted else False


def share_of_value(text: str, value: str) -> float:
    """Longest run of a value's characters that a text tells, as a share of the value; nan of none.

    Of a number the characters are its digits, of anything else those of its words, with one space
    between two words.

    Args:
        text: What a model said.
        value: The field's value.

    Example:
        >>> share_of_value("555 0199", "555 0142")
        0.7142857142857143
        >>> share_of_value("at 7 Mill Lane", "7 Mill Street")
        0.5384615384615384
    """
    if is_number(value):
        wanted, said = _digits(value), list(_numbers(text))
    else:
        wanted, said = " ".join(words(value)), [" ".join(words(text))]
    if not wanted:
        return float("nan")
    return max((_run(each, wanted) for each in said), default=0) / len(wanted)


def _run(text: str, wanted: str) -> int:
    return SequenceMatcher(None, text, wanted, autojunk=False).find_longest_match().size


def _numbers(text: str) -> Iterator[str]:
    """Digits of each number in a text."""
    return (_digits(found) for found in _NUMBER.findall(unicodedata.normalize("NFKC", text)))


def _digits(text: str) -> str:
    return "".join(str(unicodedata.decimal(c)) for c in text if c.isdecimal())
