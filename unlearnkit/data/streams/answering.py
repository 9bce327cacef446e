"""Base of the streams that answer the prompts of another stream."""

from __future__ import annotations

from abc import ABC
from collections.abc import Mapping

from unlearnkit.data.encoded import EncodedRows, StreamData
from unlearnkit.data.streams.base import OnBadRows, Stream
from unlearnkit.errors import RecipeError
from unlearnkit.registry import did_you_mean


class AnsweringStream(Stream, ABC):
    """A stream of further answers to the prompts of another stream, whose draws it follows.

    Args:
        prompts: The stream whose prompts are answered.
        per_prompt: Answers per prompt and draw.
        on_bad_rows: Treatment of bad rows of a file of answers.

    Raises:
        RecipeError: If ``per_prompt`` is below 1.
    """

    def __init__(self, prompts: str, per_prompt: int, on_bad_rows: OnBadRows = "error") -> None:
        super().__init__(None, on_bad_rows)
        if per_prompt < 1:
            raise RecipeError(f"per_prompt: expected at least 1, found {per_prompt}")
        self.prompts, self.per_prompt = prompts, per_prompt

    def depends_on(self) -> tuple[str, ...]:
        """The stream of prompts."""
        return (self.prompts,)

    def prompt_rows(self, name: str, others: Mapping[str, StreamData]) -> EncodedRows:
        """The rows of the stream of prompts.

        Raises:
            RecipeError: If it is not there, or has no rows of its own.
        """
        return stream_of_rows(name, "prompts", self.prompts, others)


def stream_of_rows(
    name: str, key: str, wanted: str, others: Mapping[str, StreamData]
) -> EncodedRows:
    """The stream that another one names under a key of its own.

    Raises:
        RecipeError: If it is not there, or has no rows of its own.
    """
    found = others.get(wanted)
    if isinstance(found, EncodedRows) and (found.answered or key != "answers"):
        if key == "prompts" and found.redrawn:
            raise RecipeError(
                f"data.streams.{name}.prompts: '{wanted}' shows some of a row's wordings at a "
                "draw, and the answers would be to others",
                hint=f"Leave out data.streams.{wanted}.per_row, so that each draw shows all.",
            )
        return found
    known = [other for other, data in others.items() if isinstance(data, EncodedRows)]
    kind = "a stream of rows" if found else "a stream of this recipe"
    if found is not None and not found.answered:
        kind = "a stream with answers"
    or_file = ", or a file with its suffix" if key == "answers" else ""
    raise RecipeError(
        f"data.streams.{name}.{key}: '{wanted}' is not {kind}{or_file}."
        f"{did_you_mean(wanted, known)}",
        hint=f"Streams of rows: {', '.join(known) or 'none'}.",
    )
