"""Chat templates, rendered with a fixed date."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date as Date
from typing import TYPE_CHECKING, Any

from unlearnkit.data.tokens.arguments import ReadByTemplate, check_arguments
from unlearnkit.data.tokens.control import ControlInData, ControlTokens, Rendered
from unlearnkit.errors import RecipeError
from unlearnkit.registry import did_you_mean

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DEFAULT_DATE = "2025-01-01"
Message = Mapping[str, Any]
Tools = Sequence[Mapping[str, Any]]

_NOW = re.compile(r"""strftime_now\(\s*(?:format\s*=\s*)?(["'])(?P<format>.*?)\1\s*\)""")
_WITH_TOOLS = "tool_use"
"""The template that transformers takes for conversations with tools, where there is one."""


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
    that a row has the same tokens every day. Control tokens that the messages spell out are
    marked as text, see `ControlTokens`.

    Args:
        tokenizer: A tokenizer with a chat template.
        date: ISO date, such as ``2025-01-01``.
        name: Which template, of a tokenizer that has several; by default the one that transformers
            takes.
        arguments: Values for the template, such as ``{"enable_thinking": False}``.
        control: The tokenizer's control tokens, where they are known already.
        control_tokens: Treatment of control tokens that messages spell out.

    Raises:
        RecipeError: If the tokenizer has no chat template, or none of that name; if the date is
            none, or the template asks for the time in a way that cannot be pinned; or if it does
            not read an argument.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        date: str,
        name: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        control: ControlTokens | None = None,
        control_tokens: ControlInData = "text",
    ) -> None:
        try:
            day = Date.fromisoformat(date)
        except ValueError:
            raise RecipeError(
                f"data.date: expected a date such as 2025-01-01, found '{date}'"
            ) from None
        self._tokenizer = tokenizer
        self.control = control or ControlTokens(tokenizer)
        self._keep = control_tokens == "keep"
        texts = {each: self._pinned(text, day) for each, text in self._chosen(name).items()}
        self._text, self._with_tools = texts[""], texts.get(_WITH_TOOLS, texts[""])
        self._read = ReadByTemplate(self._text)
        self._read_with_tools = ReadByTemplate(self._with_tools)
        self._arguments = dict(arguments or {})
        check_arguments(self._arguments, [self._read, self._read_with_tools])
        self._date_string = day.strftime("%d %b %Y")

    @property
    def _name(self) -> str:
        return f"the tokenizer '{self._tokenizer.name_or_path}'".replace(" ''", "")

    def _chosen(self, name: str | None) -> dict[str, str]:
        """The template under "", and the one for conversations with tools if it is another."""
        given: Any = self._tokenizer.chat_template
        if given is None:
            raise RecipeError(
                f"{self._name} has no chat template",
                hint="Use a stream of prompts and responses (`qa`), or an instruction-tuned model.",
            )
        several = given if isinstance(given, dict) else {"default": given}
        known = f"Its chat templates: {', '.join(several)}."
        if name is not None:
            if name not in several:
                raise RecipeError(
                    f"template: {self._name} has no chat template '{name}'."
                    f"{did_you_mean(name, list(several))}",
                    hint=known,
                )
            return {"": several[name]}
        if "default" not in several:
            raise RecipeError(
                f"{self._name} has several chat templates and none for a default",
                hint=f"Name one: `template: NAME`. {known}",
            )
        tools = {_WITH_TOOLS: several[_WITH_TOOLS]} if _WITH_TOOLS in several else {}
        return {"": several["default"], **tools}

    def _pinned(self, template: str, day: Date) -> str:
        pinned = _NOW.sub(lambda call: repr(day.strftime(call["format"])), template)
        if "strftime_now(" in pinned:
            raise RecipeError(
                f"the chat template of {self._name} calls strftime_now with a computed format, so "
                "that its tokens would change from day to day",
                hint="Replace the call in the template by a fixed date.",
            )
        return pinned

    def reads(self, key: str, tools: Tools | None = None) -> bool:
        """Whether the template looks at a key of a message at all."""
        return key in (self._read_with_tools if tools else self._read).keys

    def render(
        self,
        messages: Sequence[Message],
        *,
        answer_next: bool = False,
        tools: Tools | None = None,
    ) -> Rendered:
        """The conversation as text; with ``answer_next``, up to where an answer begins.

        Raises:
            TurnError: If the template refuses it, with the turn to blame.
        """
        try:
            return self._render(messages, answer_next, tools)
        except Exception as error:  # A template is a program of its own and fails in its own ways.
            raise self._blamed(messages, error, tools) from None

    def _render(
        self, messages: Sequence[Message], answer_next: bool, tools: Tools | None
    ) -> Rendered:
        as_text = (lambda value: value) if self._keep else self.control.all_as_text
        text = self._tokenizer.apply_chat_template(
            [as_text(dict(message)) for message in messages],
            tools=as_text(list(tools)) if tools else None,
            chat_template=self._with_tools if tools else self._text,
            add_generation_prompt=answer_next,
            tokenize=False,
            date_string=self._date_string,
            **self._arguments,
        )
        assert isinstance(text, str)
        return Rendered(text)

    def _blamed(
        self, messages: Sequence[Message], error: Exception, tools: Tools | None
    ) -> TurnError:
        """Blames the turn after the longest part of the conversation that renders."""
        if not messages:  # what stands before an answer in the first turn
            return TurnError(1, "assistant", f"nothing stands before it: {error}")
        for turns in reversed(range(1, len(messages))):
            try:
                self._render(messages[:turns], False, tools)
            except Exception as earlier:  # As above.
                error = earlier
            else:
                break
        else:
            turns = 0
        return TurnError(turns + 1, str(messages[turns].get("role")), str(error))
