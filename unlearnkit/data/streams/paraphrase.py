"""Rows in several wordings of prompt and response."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import product, zip_longest
from typing import Any, Literal, NamedTuple

from unlearnkit.data.encoded import EncodedRows
from unlearnkit.data.rows.memory import RowSource
from unlearnkit.data.rows.reader import Row, Table, find_file
from unlearnkit.data.rows.same import plain
from unlearnkit.data.rows.values import check_fields
from unlearnkit.data.rows.wordings import (
    Drawn,
    Pair,
    answers_the_same,
    asks_the_same,
    distinct,
    read_drawn,
    texts_of,
)
from unlearnkit.data.streams.base import FileStream, Tokens
from unlearnkit.data.streams.chat import ChatStream
from unlearnkit.data.streams.qa import QAStream
from unlearnkit.data.tokens.arguments import check_chat
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.tokens.frame import Frame
from unlearnkit.data.worded import WordedRows
from unlearnkit.errors import DataError, Place, Problem, RecipeError

logger = logging.getLogger(__name__)

_PROMPT, _RESPONSE = "prompt", "response"
_HINT = "unlearnkit sample --model M --prompts FILE --template 'TEXT {prompt}' --out FILE"


class Worded(NamedTuple):
    """A row in all its wordings, the file's own first."""

    place: Place
    pairs: list[Pair]


class ParaphraseStream(FileStream[Worded], name="paraphrase"):
    r"""Rows of prompt and response, each in several wordings, all of one row.

    A loss on one wording may leave the fact in others. Wordings come from columns of the file,
    from frames around the prompt, or from a model's answers in a file that ``unlearnkit sample``
    wrote; sources add up. The wordings of a row are sequences of that row, so losses and metrics
    by row see one fact. Suites measure the file's own wording.

    An answer of a model is used if it ends by itself, keeps the names of the prompt and gives no
    answer away (wordings of a prompt), or keeps the words that answer the prompt (wordings of a
    response). A run is refused if a wording stands in a suite that it is evaluated by.

    Args:
        path: A file (JSON lines, JSON, CSV, TSV, Parquet), or the id of a data set on the Hub.
        prompt_field: The file's column that holds the prompt.
        response_field: The file's column that holds the response.
        prompts: Column of further wordings of the prompt, a text or an array of texts.
        responses: Column of further wordings of the response.
        frames: Texts around the prompt, each of which makes a wording, such as
            ``"One more thing: {prompt}"``.
        drawn: File of a model's answers to the prompts, or to the responses, which it was asked to
            say in other words.
        pair: ``each`` puts the k-th wording of the response behind the k-th of the prompt, and the
            own one where there is none; ``all`` puts each behind each.
        per_row: Wordings of a row that a step sees, by turns over the epochs; None for all.
        template: Text around the prompt; see `QAStream`.
        chat: Put prompts and responses through the model's chat template instead.
        chat_template: Name of the chat template, of a model that has several.
        template_arguments: Values for the chat template, such as ``{enable_thinking: false}``.
        **file: Which rows of the file, and how they are read; see `FileStream`.

    Raises:
        RecipeError: If no source of wordings is given, a frame lacks ``{prompt}``, or ``per_row``
            is below 1.

    Example:
        >>> rows = [{"prompt": "Who?", "response": "Ada.", "more": ["Which one?", "By whom?"]}]
        >>> ParaphraseStream(rows, prompts="more", per_row=2).per_row
        2
    """

    def __init__(
        self,
        path: RowSource,
        prompt_field: str = "prompt",
        response_field: str = "response",
        prompts: str | None = None,
        responses: str | None = None,
        frames: list[str] | None = None,
        drawn: str | None = None,
        pair: Literal["each", "all"] = "each",
        per_row: int | None = None,
        template: str = "{prompt}",
        chat: bool = False,
        chat_template: str | None = None,
        template_arguments: dict[str, Any] | None = None,
        **file: Any,
    ) -> None:
        super().__init__(path, **file)
        if prompts is None and responses is None and not frames and drawn is None:
            raise RecipeError(
                "paraphrase: no further wordings are given",
                hint="Give prompts: COLUMN, responses: COLUMN, frames: [...] or drawn: FILE; rows "
                "of one wording are the stream `qa`.",
            )
        for frame in frames or ():
            if "{prompt}" not in frame:
                raise RecipeError(f"frames: expected {{prompt}} somewhere, found {frame!r}")
        if per_row is not None and per_row < 1:
            raise RecipeError(f"per_row: expected at least 1, found {per_row}")
        if chat and template != "{prompt}":
            raise RecipeError("template and chat: expected one of them, found both")
        check_chat(chat, chat_template, template_arguments)
        self.prompt_field, self.response_field = prompt_field, response_field
        self.prompts, self.responses, self.frames = prompts, responses, frames or []
        self.drawn, self.pair, self.per_row = drawn, pair, per_row
        self.form: QAStream | ChatStream = (
            ChatStream(self.path, prompt_field=_PROMPT, response_field=_RESPONSE,
                       template=chat_template, template_arguments=template_arguments)
            if chat else QAStream(self.path, _PROMPT, _RESPONSE, template)
        )  # fmt: skip
        self.added: dict[str, tuple[Place, str]] = {}
        """Further wordings by the form in which texts are compared: their rows and texts."""

    def fields(self) -> tuple[str, ...]:
        """Prompt and response, and their further wordings."""
        more = [each for each in (self.prompts, self.responses) if each is not None]
        return (self.prompt_field, self.response_field, *more)

    def parse(self, table: Table) -> tuple[Sequence[Worded], list[Problem]]:
        """Rows with all their wordings."""
        keys = {"prompt_field": self.prompt_field, "response_field": self.response_field}
        rows, problems = check_fields(table, keys)
        drawn = self._read_drawn()
        self.added = {}
        good: list[Worded] = []
        alone: list[Row] = []
        for row in rows:
            own = row.fields[self.prompt_field], row.fields[self.response_field]
            texts, faults = self._columns(row, table.file)
            problems += faults
            if faults:
                continue
            asked, said = texts
            asked += [frame.replace("{prompt}", own[0]) for frame in self.frames]
            if drawn is not None:
                asked += [each for each in drawn.of(own[0]) if asks_the_same(own, each)]
                said += [each for each in drawn.of(own[1]) if answers_the_same(own, each)]
            pairs = list(distinct(self._paired(own, asked, said)))
            if len(pairs) == 1:
                alone.append(row)
            for text in (text for pair in pairs for text in pair if text not in own):
                self.added.setdefault(plain(text), (row.place, text))
            good.append(Worded(row.place, pairs))
        if alone:
            self._tell_alone(alone, len(good), table.file)
        return good, problems

    def tokenise(
        self, samples: Sequence[Worded], codec: Codec
    ) -> Iterator[list[list[Tokens]] | Problem]:
        """One row per sample, with one sequence per wording."""
        rows = [
            Row(sample.place, {_PROMPT: prompt, _RESPONSE: response})
            for sample in samples
            for prompt, response in sample.pairs
        ]
        form: Any = self.form
        parsed, problems = form.parse(Table(self.path, rows, []))
        assert not problems, "texts were checked"
        found = iter(form.tokenise(parsed, codec))
        for sample in samples:
            each = [next(found) for _ in sample.pairs]
            wrong = [one for one in each if isinstance(one, Problem)]
            yield wrong[0] if wrong else [[tokens for one in each for row in one for tokens in row]]

    def rows_for(self, name: str, seed: int) -> EncodedRows:
        """Rows of several wordings."""
        return WordedRows(name, self.path, self.per_row, seed)

    def frame(self, codec: Codec) -> Frame:
        """What stands around the words of each answer."""
        return self.form.frame(codec)

    def text_of(self, sample: Worded) -> str:
        """The own prompt and response."""
        return "\n".join(sample.pairs[0])

    def _columns(self, row: Row, file: str) -> tuple[tuple[list[str], list[str]], list[Problem]]:
        """Wordings of the prompt and of the response that the row holds."""
        problems: list[Problem] = []
        found: list[list[str]] = []
        for column in (self.prompts, self.responses):
            texts, faults = ([], []) if column is None else texts_of(row, file, column)
            found.append(texts)
            problems += faults
        return (found[0], found[1]), problems

    def _paired(self, own: Pair, asked: list[str], said: list[str]) -> Iterator[Pair]:
        yield own
        if self.pair == "all":
            yield from product([own[0], *asked], [own[1], *said])
        else:
            for prompt, response in zip_longest(asked, said):
                yield prompt or own[0], response or own[1]

    def _read_drawn(self) -> Drawn | None:
        if self.drawn is None:
            return None
        if find_file(self.drawn) is None:
            problem = Problem(self.drawn, None, None, "no such file", "a model's wordings")
            raise DataError([problem], hint=f"Draw them first: {_HINT}")
        return read_drawn(self.drawn)

    def _tell_alone(self, alone: Sequence[Row], total: int, file: str) -> None:
        """Tells of rows without a further wording; refuses if that is all of them."""
        if len(alone) == total:
            found = "no further wording of any row"
            raise DataError(
                [Problem(self.drawn or file, None, None, found, f"some for rows of {file}")],
                hint="Drawn wordings must keep the answer's words, and their prompts must be the "
                f"file's texts: {_HINT}" if self.drawn else None,
            )  # fmt: skip
        shown = ", ".join(row.place.words for row in alone[:5])
        logger.warning(
            "%s: %d of %d rows have no further wording, and are seen in their own alone (%s%s)",
            file, len(alone), total, shown, ", ..." if len(alone) > 5 else "",
        )  # fmt: skip
