"""Chat templates, rendered alike whatever the day."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date as Date
from typing import TYPE_CHECKING, Any

from unlearnkit.errors import RecipeError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Message = Mapping[str, Any]

_NOW = re.compile(r"""strftime_now\(\s*(?:format\s*=\s*)?(["'])(?P<format>.*?)\1\s*\)""")


class TurnError(ValueError):
    """A turn that the template refuses.

    Args:
        turn: Number of the turn, from 1.
        role: Its role.
        words: The template's own words.
    """

    def __init__(self, turn: int, role: str, words: str) -> None:
        super().__init__(f"turn {turn} (role {role}): the template says '{words}'")
        self.turn, self.role, self.words = turn, role, words


class ChatTemplate:
    """A tokenizer's chat template with a fixed date.

    Templates take the date from ``date_string`` or from ``strftime_now``; both are pinned, so
    that a row has the same tokens every day.

    Args:
        tokenizer: A tokenizer with a chat template.
        date: ISO date, such as ``2025-01-01``.

    Raises:
        RecipeError: If the tokenizer has no chat template, the date is none, or the template asks
            for the time in a way that cannot be pinned.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, date: str) -> None:
        try:
            day = Date.fromisoformat(date)
        except ValueError:
            raise RecipeError(
                f"data.date: expected a date such as 2025-01-01, found '{date}'"
            ) from None
        self._tokenizer = tokenizer
        name = f"the tokenizer '{tokenizer.name_or_path}'".replace(" ''", "")
        try:
            template = tokenizer.get_chat_template()
        except ValueError:
            raise RecipeError(
                f"{name} has no chat template",
                hint="Use a stream of prompts and responses (`qa`), or an instruction-tuned model.",
            ) from None
        self._date_string = day.strftime("%d %b %Y")
        self._template = _NOW.sub(lambda call: repr(day.strftime(call["format"])), template)
        if "strftime_now(" in self._template:
            raise RecipeError(
                f"the chat template of {name} calls strftime_now with a computed format, so that "
                "its tokens would change from day to day",
                hint="Replace the call in the template by a fixed date.",
            )

    def render(self, messages: Sequence[Message], *, answer_next: bool = False) -> str:
        """The conversation as text; with ``answer_next``, up to where an answer begins.

        Raises:
            TurnError: If the template refuses it, with the turn to blame.
        """
        try:
            return self._render(messages, answer_next)
        except Exception as error:  # A template is a program of its own and fails in its own ways.
            raise self._blamed(messages, error) from None

    def _render(self, messages: Sequence[Message], answer_next: bool) -> str:
        text = self._tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            chat_template=self._template,
            add_generation_prompt=answer_next,
            tokenize=False,
            date_string=self._date_string,
        )
        assert isinstance(text, str)
        return text

    def _blamed(self, messages: Sequence[Message], error: Exception) -> TurnError:
        """Blames the turn after the longest part of the conversation that renders."""
        for turns in reversed(range(1, len(messages))):
            try:
                self._render(messages[:turns], False)
            except Exception as earlier:  # As above.
                error = earlier
            else:
                break
        else:
            turns = 0
        return TurnError(turns + 1, str(messages[turns].get("role")), str(error))
