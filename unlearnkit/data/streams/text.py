"""Running text, cut into prompts and continuations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from unlearnkit.data.encoded import EncodedRows
from unlearnkit.data.rows.memory import RowSource
from unlearnkit.data.rows.packed import Mapped
from unlearnkit.data.rows.reader import Row, Table
from unlearnkit.data.rows.values import check_fields
from unlearnkit.data.streams.base import FileStream, Tokens
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.worded import WordedRows
from unlearnkit.errors import Place, Problem, RecipeError

_PROMPT_TOKENS = 32


class Passage(NamedTuple):
    """A text of any length."""

    place: Place
    text: str


class TextStream(FileStream[Passage], name="text"):
    """Passages of text: the first tokens are the prompt, the others the response.

    A text longer than a piece is cut into pieces. Each piece after the first begins with the last
    ``prompt_tokens`` tokens of the one before, so every token but the text's first is a response
    token once, and no piece is without a response. EOS ends the text, not a piece of it.

    With ``cuts`` each piece is one row with several sequences, cut after so many tokens each; the
    first cut is what pieces overlap by. A cut that leaves a piece no response token is left out of
    it. Suites measure every cut.

    Args:
        path: A plain text file (one text), or a file of rows or the id of a data set.
        text_field: The file's column that holds the text.
        prompt_tokens: Tokens at the start of a piece that are its prompt.
        chunk_tokens: Longest piece, prompt included; by default as many as ``max_length`` allows.
        cuts: Places, in tokens, at which every piece is cut, such as ``[2, 8, 32]``, in place of
            ``prompt_tokens``.
        per_row: Cuts of a piece that a step sees, by turns over the epochs; None for all.
        **file: Which rows of the file, and how they are read; see `FileStream`.

    Raises:
        RecipeError: If a piece would have no room for a prompt and a response, or cuts are not
            ascending numbers of at least 1.
    """

    def __init__(
        self,
        path: RowSource,
        text_field: str = "text",
        prompt_tokens: int = _PROMPT_TOKENS,
        chunk_tokens: int | None = None,
        cuts: list[int] | None = None,
        per_row: int | None = None,
        **file: Any,
    ) -> None:
        super().__init__(path, **file)
        if cuts is not None:
            if prompt_tokens != _PROMPT_TOKENS:
                raise RecipeError("prompt_tokens and cuts: expected one of them, found both")
            if not cuts or cuts != sorted(set(cuts)) or cuts[0] < 1:
                raise RecipeError(
                    f"cuts: expected ascending numbers of at least 1, found {cuts}",
                    hint="Such as cuts: [2, 8, 32].",
                )
            prompt_tokens = cuts[0]
        if per_row is not None and (cuts is None or per_row < 1):
            found = f"{per_row}" if cuts else f"{per_row} without cuts"
            raise RecipeError(f"per_row: expected at least 1, of a stream with cuts, found {found}")
        if prompt_tokens < 1:
            raise RecipeError(f"prompt_tokens: expected at least 1, found {prompt_tokens}")
        if chunk_tokens is not None and chunk_tokens <= prompt_tokens:
            raise RecipeError(
                f"chunk_tokens: expected more than prompt_tokens ({prompt_tokens}), "
                f"found {chunk_tokens}"
            )
        self.text_field = text_field
        self.prompt_tokens, self.chunk_tokens = prompt_tokens, chunk_tokens
        self.places, self.per_row = cuts or [prompt_tokens], per_row
        self.several = cuts is not None

    def fields(self) -> tuple[str, ...]:
        """The text."""
        return (self.text_field,)

    @property
    def bare_field(self) -> str:
        """The text."""
        return self.text_field

    def parse(self, table: Table) -> tuple[Sequence[Passage], list[Problem]]:
        """Texts."""
        rows, problems = check_fields(table, {"text_field": self.text_field})
        return Mapped(rows, self._passage), problems

    def _passage(self, row: Row) -> Passage:
        return Passage(row.place, row.fields[self.text_field])

    def tokenise(
        self, samples: Sequence[Passage], codec: Codec
    ) -> Iterator[Iterable[list[Tokens]] | Problem]:
        """The pieces of each text."""
        room = codec.max_length - len(codec.bos)
        if room <= self.prompt_tokens:
            raise RecipeError(
                f"prompt_tokens: {self.prompt_tokens} leave no response token at max_length "
                f"{codec.max_length}"
            )
        size = min(room, self.chunk_tokens or room)
        for sample, ids in zip(samples, codec.tokens([s.text for s in samples]), strict=True):
            if len(ids) > self.prompt_tokens:
                yield self._pieces(ids, size, codec)
            else:
                found = f"a text of {len(ids)} tokens"
                expected = f"more than prompt_tokens, {self.prompt_tokens}"
                yield Problem(self.path, sample.place, self.text_field, found, expected)

    def _pieces(self, ids: list[int], size: int, codec: Codec) -> Iterator[list[Tokens]]:
        first, step = self.prompt_tokens, size - self.prompt_tokens
        for start in range(0, len(ids) - first, step):
            piece, last = ids[start : start + size], start + size >= len(ids)
            yield [
                (
                    codec.with_bos(piece[:cut]),
                    codec.with_end(piece[cut:]) if last else piece[cut:],
                )
                for cut in self.places
                if cut < len(piece)
            ]

    def rows_for(self, name: str, seed: int) -> EncodedRows:
        """Rows of one cut, or of several."""
        if not self.several:
            return super().rows_for(name, seed)
        return WordedRows(name, self.path, self.per_row, seed, measure_all=True)

    def text_of(self, sample: Passage) -> str:
        """The text."""
        return sample.text
