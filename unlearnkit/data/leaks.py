"""Detection of an evaluation's wordings among those of a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from unlearnkit.data.encoded import StreamData
from unlearnkit.data.rows.same import plain
from unlearnkit.data.streams.base import Stream
from unlearnkit.data.streams.paraphrase import ParaphraseStream
from unlearnkit.data.worded import WordedRows
from unlearnkit.errors import DataError, Problem

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_HINT = (
    "A loss on what is measured says nothing of other wordings. Leave these out of the stream, or "
    "evaluate on others."
)


def refuse_leaks(
    streams: Mapping[str, Stream],
    data: Mapping[str, StreamData],
    measured: Mapping[str, str],
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    """Refuses wordings of a stream that a suite measures as unseen.

    Args:
        streams: The recipe's streams.
        data: The same, tokenised.
        measured: Texts that suites measure, in the form in which texts are compared, and what
            they are.
        tokenizer: Of the streams.

    Raises:
        DataError: With every such wording.
    """
    if not measured:
        return
    problems = [
        problem
        for name, rows in data.items()
        for problem in (
            *_of_texts(name, streams[name], measured),
            *_of_rows(name, rows, measured, tokenizer),
        )
    ]
    if problems:
        raise DataError(list(dict.fromkeys(problems)), hint=_HINT)


def _of_texts(name: str, stream: Stream, measured: Mapping[str, str]) -> Iterator[Problem]:
    """Wordings in a stream of paraphrases, without what a template puts around them."""
    if isinstance(stream, ParaphraseStream):
        for key, (place, text) in stream.added.items():
            if key in measured:
                yield _problem(name, stream.path, place, text, measured[key])


def _of_rows(
    name: str,
    rows: StreamData,
    measured: Mapping[str, str],
    tokenizer: PreTrainedTokenizerBase,
) -> Iterator[Problem]:
    """Prompts of further wordings, and of all cuts of a text."""
    if isinstance(rows, WordedRows):
        for row in range(len(rows)):
            for sequence in rows.sequences_of(row)[0 if rows.measure_all else 1 :]:
                text = tokenizer.decode(list(rows.prompt(sequence)), skip_special_tokens=True)
                if (what := measured.get(plain(str(text)))) is not None:
                    yield _problem(name, rows.source, rows.place(row), str(text), what)


def _problem(name: str, file: str, place: object, text: str, what: str) -> Problem:
    found = f"{text!r}, which {what} has too"
    expected = f"wordings in data.streams.{name} that no suite measures"
    return Problem(file, place, None, found, expected)  # pyright: ignore[reportArgumentType]
