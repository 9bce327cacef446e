"""Sources of probes: the recipe's streams, files, or the shipped data."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from unlearnkit.data.encoded import StreamData
from unlearnkit.data.example import Example
from unlearnkit.data.rows.reader import find_file, read_rows
from unlearnkit.data.rows.table import BARE
from unlearnkit.data.streams.base import Stream
from unlearnkit.data.streams.prompts import PromptStream
from unlearnkit.data.streams.qa import QAStream
from unlearnkit.data.streams.text import TextStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, Problem, RecipeError
from unlearnkit.plain import spaced
from unlearnkit.suites.base import SourceRows
from unlearnkit.suites.parts.cuts import Cuts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from unlearnkit.suites.base import SuiteContext

Source: TypeAlias = str | Stream
"""A recipe stream's name, a file, or a stream."""

_SHIPPED = {
    "forget": "book.jsonl",
    "normal": "normal.jsonl",
    "heldout": "heldout.jsonl",
    "neighbour": "neighbour.jsonl",
}
_SHIPPED_FOLDER = Path(__file__).resolve().parents[2] / "tiny"
RECIPE_NAMES = {"normal": "retain"}
"""What the recipe calls a kind of probe, where it is not the same word."""
KEPT: tuple[str, ...] = ("normal", "heldout", "neighbour")
"""Rows that are to stay: seen by the retain term, not seen by it, and not seen and near to what is
forgotten."""
KEPT_NAMES = {kind: RECIPE_NAMES.get(kind, kind) for kind in KEPT}
"""The recipe's streams that stand in for them."""


def read_probes(
    sources: Mapping[str, Source | None],
    tokenizer: PreTrainedTokenizerBase,
    context: SuiteContext,
    *,
    prompt_tokens: int,
    limit: int | None,
    optional: Collection[str] = (),
    prompts_only: Collection[str] = (),
    first: Mapping[str, int] | None = None,
    cuts: Cuts | None = None,
) -> dict[str, list[Example]]:
    """The examples of each kind of probe.

    Args:
        sources: Kind of probe to where it comes from; None for the recipe's stream of that name
            or else the shipped file.
        tokenizer: Of the model under evaluation.
        context: Holds the recipe's streams.
        prompt_tokens: Where plain text is cut into prompt and response.
        limit: Examples of each kind at most, evenly spaced over the rows.
        optional: Kinds that are left out without a warning.
        prompts_only: Kinds that may be prompts without responses.
        first: Examples of a kind that come first and beside the limit, which thins the others.
        cuts: Takes note of what the maximal length took from the responses.

    Raises:
        DataError: With the bad rows of all files.
        RecipeError: If a source is neither a stream nor a file, or lacks responses.
    """
    codec = context.codec(tokenizer)
    found: dict[str, list[Example]] = {}
    problems: list[Problem] = []
    hints: dict[str, None] = {}
    for kind, source in sources.items():
        bare = kind in prompts_only
        stream = _stream(kind, source, sources, context, prompt_tokens, bare)
        if stream is None and kind in optional:
            continue
        if stream is None:
            warnings.warn(
                f"no {kind} rows: the metrics {kind}/... are left out. Give the suite "
                f"'{kind}: FILE' with rows that the training does not see.",
                stacklevel=3,
            )
            continue
        try:
            data = stream if isinstance(stream, StreamData) else _encode(kind, stream, codec)
        except DataError as error:
            problems += error.problems
            if error.hint is not None and isinstance(source, str):
                stream = f"`{kind}: {{name: qa, path: {source}, ...}}`"
                hints[f"{error.hint} A suite takes a stream in place of a file: {stream}."] = None
            continue
        if not data.answered and not bare:
            raise RecipeError(
                f"the {kind} rows ({data.source}) are prompts without responses, and metrics of "
                f"{kind}/... compare answers with them",
                hint=f"Give the suite '{kind}: FILE' with rows of prompt and response.",
            )
        shown = min((first or {}).get(kind, 0), len(data))
        rows = [*range(shown), *spaced(range(shown, len(data)), limit)]
        measured = [data.measured(row) for row in rows]
        found[kind] = [example for each in measured for example in each]
        if cuts is not None:
            for row, each in zip(rows, measured, strict=True):
                cuts.add(kind, sum(len(e.response_ids) for e in each), data.cut.get(row, 0))
    if problems:
        raise DataError(problems, hint="\n".join(hints) or None)
    return found


def read_source(
    kind: str, source: Source | None, codec: Codec, context: SuiteContext, prompt_tokens: int = 32
) -> SourceRows:
    """All rows of one source.

    Args:
        kind: What the rows are.
        source: Where they come from; None for the recipe's stream or the shipped file.
        codec: Turns them into tokens.
        context: Holds the recipe's streams.
        prompt_tokens: Where plain text is cut into prompt and response.

    Raises:
        DataError: With all bad rows.
        RecipeError: If there are no such rows, or they have no responses.
    """
    stream = _stream(kind, source, {kind: source}, context, prompt_tokens, prompts_only=False)
    if stream is None:
        raise RecipeError(f"no {kind} rows are given", hint=f"Give a file of {kind} rows.")
    data = stream if isinstance(stream, StreamData) else _encode(kind, stream, codec)
    if not data.answered:
        raise RecipeError(f"the {kind} rows ({data.source}) are prompts without responses")
    examples = [each for row in range(len(data)) for each in data.measured(row)]
    return SourceRows(examples, data, None if isinstance(stream, StreamData) else stream)


def chosen_sources(
    suite: str,
    sources: Mapping[str, Source | None],
    defaults: Mapping[str, str],
    context: SuiteContext,
    optional: Collection[str] = (),
) -> dict[str, Source]:
    """The sources that are given, and the recipe's streams in place of those that are not.

    Args:
        suite: Its name, for messages.
        sources: Kind of probe to where it comes from, or None.
        defaults: Kind of probe to the recipe's stream that stands in.
        context: Holds the recipe's streams.
        optional: Kinds that may be left out.

    Raises:
        RecipeError: If a kind that is needed has no source.
    """
    found: dict[str, Source] = {}
    lacking: list[str] = []
    for kind, source in sources.items():
        if source is not None:
            found[kind] = source
        elif defaults[kind] in context.data:
            found[kind] = defaults[kind]
        elif kind not in optional:
            lacking.append(kind)
    if lacking:
        given = ", ".join(f"{kind}: FILE" for kind in lacking)
        raise RecipeError(
            f"{suite}: no {' and no '.join(lacking)} rows are given, and the recipe has no stream "
            f"{' or '.join(defaults[kind] for kind in lacking)}",
            hint=f"Give the suite its files: {{name: {suite}, {given}}}.",
        )
    return found


def stream_names(sources: Mapping[str, Source | None]) -> tuple[str, ...]:
    """Names under which the recipe's streams are looked for."""
    return tuple(
        RECIPE_NAMES.get(kind, kind) if source is None else source
        for kind, source in sources.items()
        if not isinstance(source, Stream)
    )


def _encode(kind: str, stream: Stream, codec: Codec) -> StreamData:
    stream.check()
    return stream.encode(kind, codec, {}, seed=0)


def _stream(
    kind: str,
    source: Source | None,
    sources: Mapping[str, Source | None],
    context: SuiteContext,
    prompt_tokens: int,
    prompts_only: bool,
) -> Stream | StreamData | None:
    if isinstance(source, Stream):
        return source
    name = RECIPE_NAMES.get(kind, kind) if source is None else source
    if name in context.data:
        return context.data[name]
    if source is not None:
        return _file(source, prompt_tokens, context, prompts_only)
    if kind in _SHIPPED and all(map(_is_shipped, _origins(sources, context))):
        return _file(f"tiny/{_SHIPPED[kind]}", prompt_tokens, context, prompts_only)
    # The shipped rows say nothing of a model that was taught other texts.
    return None


def _origins(sources: Mapping[str, Source | None], context: SuiteContext) -> Iterator[str]:
    """Where the probes of all kinds come from, but for those that nothing is said of."""
    for kind, source in sources.items():
        name = RECIPE_NAMES.get(kind, kind) if source is None else source
        if isinstance(name, Stream):
            yield str(getattr(name, "path", ""))
        elif name in context.data:
            yield context.data[name].source
        elif source is not None:
            yield name


def _is_shipped(source: str) -> bool:
    """Whether a stream's source is a file of the embedded data."""
    file = find_file(source)
    return file is not None and _SHIPPED_FOLDER in file.resolve().parents


def _file(path: str, prompt_tokens: int, context: SuiteContext, prompts_only: bool) -> Stream:
    """A stream over a file, by its first row: text, prompts alone, or prompt and response."""
    if find_file(path) is None:
        raise RecipeError(
            f"'{path}' is neither a stream of the recipe nor a file",
            hint=f"Streams: {', '.join(context.data) or 'none'}. Or give the path of a file.",
        )
    table = read_rows(path)
    names = table.rows[0].fields if table.rows else {}
    if prompts_only and (table.plain or ("prompt" in names and "response" not in names)):
        return PromptStream(path=path)
    if BARE in names:
        return TextStream(path=path, prompt_tokens=prompt_tokens)
    return QAStream(path=path)
