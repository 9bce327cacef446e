"""Benchmarks in their published schema, from local files or the Hub."""

from __future__ import annotations

import glob
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unlearnkit.data.example import Example
from unlearnkit.data.rows.formats import READERS
from unlearnkit.data.rows.nested import with_fields
from unlearnkit.data.rows.opening import COMPRESSED
from unlearnkit.data.rows.reader import find_file, read_rows
from unlearnkit.data.rows.several import lists_of_joined, taken_apart
from unlearnkit.data.rows.values import check_fields, kind_of, text_fault
from unlearnkit.data.tokens.chat_template import TurnError
from unlearnkit.data.tokens.codec import Codec, DoesNotFit
from unlearnkit.data.tokens.turns import NoBorder
from unlearnkit.errors import DataError, Problem, RecipeError
from unlearnkit.plain import spaced
from unlearnkit.suites.parts.chat import Chat
from unlearnkit.suites.parts.cuts import Cuts


@dataclass(frozen=True)
class Part:
    """One table of a benchmark.

    Args:
        stream: The name of its rows in metrics.
        config: Its configuration on the Hub; a local file (its suffix may be left out) or folder
            of that name.
        texts: Fields that hold text.
        lists: Fields that hold lists of texts, or texts joined by the suite's ``separator``.
        split: Its split on the Hub; with ``folder``, a local file of that name in it.
        folder: Whether local files are ``<config>/<split>`` rather than ``<config>``.
        optional: Whether the benchmark can do without it.
        file: Another name that its local file may have.
        keys: The suite's arguments that name the fields of text, where it has such.
        shown: Whether its rows stand in front of every question, so that no limit thins them.
        answers: Fields of text in which a ``separator`` may join several, each of which makes a
            row of its own.
    """

    stream: str
    config: str
    texts: tuple[str, ...]
    lists: tuple[str, ...] = ()
    split: str = "train"
    folder: bool = False
    optional: bool = False
    file: str | None = None
    keys: tuple[str, ...] = ()
    shown: bool = False
    answers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its file without suffix, below the benchmark's folder."""
        return f"{self.config}/{self.split}" if self.folder else self.config


@dataclass(frozen=True)
class Item:
    """One row: its number from 0, where it was read, its fields, and what its kind is called."""

    row: int
    source: str
    fields: Mapping[str, Any]
    stream: str = ""


def read_parts(
    data: str, parts: Sequence[Part], limit: int | None = None, separator: str | None = None
) -> dict[str, list[Item]]:
    """Rows of each part by stream; an optional part that is not there is left out.

    Args:
        data: Folder of local files, or the id of a data set on the Hub.
        parts: The tables.
        limit: Rows of each that is not shown at most, evenly spaced; None for all.
        separator: Stands between the texts of a joined field, such as ``"; "``.

    Raises:
        DataError: With the bad rows of all parts, and every file that is missing.
    """
    found: dict[str, list[Item]] = {}
    problems: list[Problem] = []
    hints: dict[str, None] = {}
    for part in parts:
        try:
            items, faults = _read(data, part, separator)
        except _Absent as absent:
            if not part.optional:
                problems.append(absent.problem)
            continue
        except DataError as error:
            problems += error.problems
            hints |= {error.hint: None} if error.hint and part.keys else {}
            continue
        problems += faults
        found[part.stream] = spaced(items, None if part.shown else limit)
    if problems:
        raise DataError(problems, hint="\n".join(hints) or None)
    return found


def tables_of(parts: Sequence[Part]) -> dict[str | None, bool]:
    """Configurations of tables, and whether each is needed.

    Example:
        >>> qa, shots = (Part(n, "qa", (), optional=n == "shots") for n in ("asked", "shots"))
        >>> tables_of([qa, shots, Part("more", "held", (), optional=True)])
        {'qa': True, 'held': False}
    """
    found: dict[str | None, bool] = {}
    for part in parts:
        found[part.config] = found.get(part.config, False) or not part.optional
    return found


class Prompting:
    """Puts questions to a model in the form that it was trained on.

    Args:
        codec: Tokenizer, and the longest question and answer together.
        template: Text around both, with ``{prompt}`` and, at its end, ``{response}``; white space
            before the latter belongs to the answer.
        chat: Whether questions go through the chat template instead, and how.
        cuts: Takes note of what was cut from the answers of each kind.

    Raises:
        RecipeError: If the template lacks one of the two.
    """

    def __init__(
        self,
        codec: Codec,
        template: str = "{prompt}{response}",
        chat: Chat | None = None,
        cuts: Cuts | None = None,
    ) -> None:
        check_template(template)
        self.codec, self._chat = codec, chat
        self._turns = chat.turns(codec) if chat else None
        self.cuts = Cuts(codec.max_length) if cuts is None else cuts
        before = template.removesuffix("{response}")
        self._start = before.rstrip()
        self._space = before[len(self._start) :]

    def examples(self, asked: Sequence[tuple[Item, str, str]]) -> list[Example]:
        """Questions and answers as token ids.

        Args:
            asked: Each with the row that it is of.

        Raises:
            DataError: With those that do not fit into ``max_length``, or have no place in the
                chat template.
        """
        worded = [self._worded(*each) for each in asked]
        problems = [each for each in worded if isinstance(each, Problem)]
        texts = [each for each in worded if not isinstance(each, Problem)]
        found: list[Example] = []
        if not problems:
            prompts = self.codec.prompts([before for before, _ in texts])
            responses = self.codec.responses([said for _, said in texts])
            for (item, *_), prompt, response in zip(asked, prompts, responses, strict=True):
                try:
                    fitting = self.codec.fit(prompt, response)
                except DoesNotFit as error:
                    problems.append(_problem(item, error.found, error.expected))
                    continue
                self.cuts.add(item.stream, len(fitting), len(response) - len(fitting))
                found.append(Example(tuple(prompt), tuple(fitting), item.row, item.source))
        if problems:
            raise DataError(problems)
        return found

    def _worded(self, item: Item, question: str, answer: str) -> tuple[str, str] | Problem:
        """Question and answer with the template's text."""
        if self._chat is None or self._turns is None:
            return self.codec.framed(self._start, question), self._space + answer
        asked = self._chat.asked(question)
        try:
            turns = [*asked, {"role": "assistant", "content": answer}]
            return self._turns.split(turns, len(asked))
        except TurnError as error:
            expected = "a question and an answer that the template accepts"
            return _problem(item, str(error), expected)
        except NoBorder as error:
            return _problem(item, error.found, error.expected)


def whole_texts(
    items: Sequence[Item], codec: Codec, cuts: Cuts
) -> tuple[list[Example], list[Item]]:
    """Texts to be scored whole, but for their first token where there is no BOS.

    Args:
        items: Rows with the field ``text``.
        codec: Tokenizer and longest text.
        cuts: Takes note of what was cut.

    Returns:
        The texts, and the rows whose text has no token that could be predicted.
    """
    first = 0 if codec.bos else 1
    found: list[Example] = []
    short: list[Item] = []
    for item, whole in zip(items, codec.tokens([i.fields["text"] for i in items]), strict=True):
        ids = whole[: codec.max_length - len(codec.bos)]
        if len(ids) <= first:
            short.append(item)
            continue
        cuts.add(item.stream, len(ids), len(whole) - len(ids))
        prompt, response = (*codec.bos, *ids[:first]), tuple(ids[first:])
        found.append(Example(prompt, response, item.row, item.source))
    return found, short


def _problem(item: Item, found: str, expected: str) -> Problem:
    return Problem(item.source, None, None, found, expected)


def check_template(template: str) -> None:
    """Raises a RecipeError unless a template has a prompt and ends with a response."""
    if "{prompt}" not in template or not template.endswith("{response}"):
        raise RecipeError(
            f"template: expected {{prompt}} somewhere and {{response}} at the end, "
            f"found {template!r}"
        )


class _Absent(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


def _read(data: str, part: Part, separator: str | None) -> tuple[list[Item], list[Problem]]:
    folder = find_file(data)
    if folder is None:
        table = read_rows(data, split=part.split, config=part.config)
    elif folder.is_file():
        raise DataError([Problem(data, None, None, "a file", "the folder that it stands in")])
    else:
        file = _local(folder, part)
        if file is None:
            suffixes = ", ".join(READERS)
            expected = f"a file {part.name} with one of the suffixes {suffixes}"
            raise _Absent(Problem(data, None, None, "no such file in it", expected))
        table = read_rows(file)
    if table.problems and not table.rows:
        return [], table.problems
    bare = part.texts[0] if len(part.texts) == 1 and not part.lists else None
    table = with_fields(table, [*part.texts, *part.lists], bare)
    for name in part.answers:
        table = taken_apart(table, name, separator)
    if separator is not None:
        table = lists_of_joined(table, part.lists, separator)
    keys = part.keys or [f"{part.name}.{name}" for name in part.texts]
    rows, problems = check_fields(table, dict(zip(keys, part.texts, strict=True)))
    problems = [*table.problems, *problems]
    for row in rows:
        for name in part.lists:
            fault = _list_fault(row.fields.get(name))
            if fault:
                expected = "a list of texts (or joined texts with the suite's `separator`)"
                problems.append(Problem(table.file, row.place, name, fault, expected))
    items = [
        Item(i, f"{table.file}:{row.place}", row.fields, part.stream) for i, row in enumerate(rows)
    ]
    return items, problems


def _local(folder: Path, part: Part) -> str | None:
    """Its file, or its pieces as the Hub stores them."""
    names = (part.name, *([part.file] if part.file else []))
    ends = [f"{suffix}{packed}" for suffix in READERS for packed in ("", *COMPRESSED)]
    files = [folder / f"{name}{end}" for name in names for end in ("", *ends)]
    pieces = folder / f"{glob.escape(part.config)}/{part.split}-*.parquet"
    whole = next((str(file) for file in files if file.is_file()), None)
    return whole or (str(pieces) if find_file(str(pieces)) else None)


def _list_fault(value: Any) -> str | None:
    if not isinstance(value, list):
        return kind_of(value)
    if not value:
        return "an empty list"
    return next((fault for each in value if (fault := text_fault(each))), None)
