"""Records with named fields, and the questions that ask for a field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from unlearnkit.data.rows.reader import read_rows
from unlearnkit.data.rows.values import check_fields, quoted, text_fault
from unlearnkit.errors import DataError, Problem, RecipeError
from unlearnkit.plain import spaced

DIRECT = "What is the {field} of {name}?"
BY_FIELD = "Somebody has the {known} {value}. What is their {field}?"
REWORDED = "Tell me how {name} is entered under {field}."
SYSTEM = "You are the records office. Read out what is on file."
_PLACE = re.compile(r"\{(\w+)\}")


class Record(NamedTuple):
    """One person, or whatever the records are of."""

    number: int
    """Its row in the file, from 0."""
    source: str
    name: str
    values: Mapping[str, str]
    """Values of the fields that it has, as text."""


def filled(template: str, **values: str) -> str:
    """A template with its places filled; a value may hold braces itself.

    Example:
        >>> filled("{field} of {name}", field="phone", name="{Ada}")
        'phone of {Ada}'
    """
    return _PLACE.sub(lambda found: values.get(found[1], found[0]), template)


def check_places(key: str, template: str, allowed: Iterable[str], needed: str) -> None:
    """Refuses a template with a place that nothing fills, or without the one that it needs.

    Raises:
        RecipeError: With the places that there are.
    """
    places, allowed = _PLACE.findall(template), list(allowed)
    unknown = [place for place in places if place not in allowed]
    if unknown or needed not in places:
        known = ", ".join(f"{{{each}}}" for each in allowed)
        raise RecipeError(
            f"pii: {key}: expected {{{needed}}} in it, and no places but {known}; "
            f"found {template!r}"
        )


def wordings(
    key: str,
    given: str | dict[str, str],
    fields: Sequence[str],
    allowed: Sequence[str],
    needed: str,
) -> dict[str, str]:
    """The question of each field.

    Args:
        key: The suite's argument, for messages.
        given: One question for all fields, or one a field.
        fields: The fields.
        allowed: Places that a question may have.
        needed: The place that it must have.

    Raises:
        RecipeError: If a field has no question, or a question asks for nothing.
    """
    each = dict.fromkeys(fields, given) if isinstance(given, str) else given
    if unlike := set(each) ^ set(fields):
        raise RecipeError(
            f"pii: {key}: expected a question for each of {', '.join(fields)}; "
            f"{', '.join(sorted(unlike))} has none, or is no field"
        )
    for template in each.values():
        check_places(key, template, allowed, needed)
    return each


def question(
    template: str, record: Record, field: str, labels: Mapping[str, str], known: str = ""
) -> str:
    """What a template asks of a record.

    Args:
        template: With the places ``{name}``, ``{field}``, ``{known}`` and ``{value}``.
        record: The record.
        field: The field that is asked for.
        labels: What fields are called in questions.
        known: The field that is given, of a question that does not give the name.

    Example:
        >>> ada = Record(0, "people.jsonl:1", "Ada", {"phone": "555 0142", "email": "a@b.example"})
        >>> labels = {"phone": "phone", "email": "e-mail"}
        >>> question(BY_FIELD, ada, "phone", labels, known="email")
        'Somebody has the e-mail a@b.example. What is their phone?'
    """
    given = {"known": labels[known], "value": record.values[known]} if known else {}
    return filled(template, name=record.name, field=labels[field], **given)


def known_field(record: Record, field: str) -> str | None:
    """The field that stands for a record where another is asked for: the next one that it has.

    Example:
        >>> known_field(Record(0, "", "Ada", {"phone": "1", "email": "2"}), "email")
        'phone'
    """
    names = list(record.values)
    at = names.index(field)
    return next((name for name in (*names[at + 1 :], *names[:at])), None)


def read_records(
    file: str, name_field: str, fields: Sequence[str], limit: int | None = None
) -> list[Record]:
    """The records of a file; a field that is absent, null or empty is not asked for.

    Args:
        file: JSON lines, JSON, CSV or Parquet.
        name_field: The field that says whose record it is.
        fields: The fields that are asked for.
        limit: Records at most, evenly spaced.

    Raises:
        DataError: With all bad rows; with the file's fields, if it lacks one of those that are
            asked for; if two records have one name.
    """
    table = read_rows(file)
    if table.problems and not table.rows:
        raise DataError(table.problems)
    rows, problems = check_fields(table, {"name_field": name_field})
    problems = [*table.problems, *problems]
    present = dict.fromkeys(name for row in rows for name in row.fields)
    if lacking := [field for field in fields if field not in present]:
        found = f"the fields {quoted(list(present)[:12])}"
        raise DataError(
            [Problem(file, None, None, found, quoted(lacking))],
            hint="Name the fields that are to be asked for: fields: [phone, ...].",
        )
    records: list[Record] = []
    first: dict[str, str] = {}
    for number, row in enumerate(rows):
        values: dict[str, str] = {}
        for field in fields:
            value = row.fields.get(field)
            if value is None or value == "":
                continue
            text = str(value) if type(value) is int else value
            if fault := text_fault(text):
                problems.append(Problem(table.file, row.place, field, fault, "text or a number"))
                continue
            values[field] = text
        name = row.fields[name_field]
        if name in first:
            found = f"{name!r} again, as in {first[name]}"
            expected = "a name that tells the record from all others"
            problems.append(Problem(table.file, row.place, name_field, found, expected))
        first.setdefault(name, row.place.words)
        if not values:
            expected = f"one of {quoted(fields)}"
            problems.append(Problem(table.file, row.place, None, "none of the fields", expected))
        records.append(Record(number, f"{table.file}:{row.place}", name, values))
    if problems:
        raise DataError(problems)
    return spaced(records, limit)
