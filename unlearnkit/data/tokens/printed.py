"""Checks that a template prints what the rows give it."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Any

from unlearnkit.data.tokens.chat_template import Message, Tools
from unlearnkit.data.tokens.control import Rendered
from unlearnkit.data.tokens.conversation import CALLS, THOUGHTS, further_keys
from unlearnkit.data.tokens.turns import NoBorder, Turns

logger = logging.getLogger(__name__)


class Printed:
    """Splits conversations into prompts and answers, and refuses those of which some is lost.

    Args:
        turns: What splits them.
        source: Where the conversations come from, for messages.
    """

    def __init__(self, turns: Turns, source: str) -> None:
        self._turns, self._template, self._source = turns, turns.template, source
        self._told: set[str] = set()
        self._tools_printed: dict[str, bool] = {}

    def turns(
        self, messages: Sequence[Message], learned: Sequence[int], tools: Tools | None
    ) -> list[tuple[Rendered, Rendered]]:
        """Prompt and answer of each learned turn.

        Raises:
            TurnError: If the template refuses the conversation.
            NoBorder: If an answer cannot be told from what stands before it, or the template
                leaves out a part of it, a tool call, a thought or the tools.
        """
        self._check_keys(messages, tools)
        # The whole conversation first, so that the turn to blame is looked for in all of it.
        whole = self._template.render(messages, tools=tools)
        found = [self._turns.split(messages, turn, tools, whole) for turn in learned]
        for turn, (_, answer) in zip(learned, found, strict=True):
            self._check_answer(turn, messages[turn], answer)
        if tools:
            self._check_tools(messages, tools)
        return found

    def _check_keys(self, messages: Sequence[Message], tools: Tools | None) -> None:
        for turn, message in enumerate(messages, start=1):
            for key in further_keys(message):
                if self._reads(key, tools):
                    continue
                if key in CALLS or key in THOUGHTS:
                    raise NoBorder(
                        f"`{key}` in turn {turn}, which the chat template does not read",
                        "a template that does, or rows without it",
                    )
                if key not in self._told:
                    self._told.add(key)
                    logger.warning(
                        "%s: messages have the key '%s', which the chat template does not read",
                        self._source,
                        key,
                    )

    def _reads(self, key: str, tools: Tools | None) -> bool:
        names = THOUGHTS if key in THOUGHTS else (key,)
        return any(self._template.reads(name, tools) for name in names)

    def _check_answer(self, turn: int, message: Message, answer: Rendered) -> None:
        shown = self._squeezed(answer)
        for key in ("content", *THOUGHTS):
            given = message.get(key)
            if isinstance(given, str) and self._squeezed(given) not in shown:
                raise NoBorder(
                    f"a chat template that prints `{key}` of turn {turn + 1} otherwise, or in part",
                    "an answer that the template prints as it is",
                )
        for call in message.get("tool_calls") or ():
            name = _name_of(call)
            if name is not None and self._squeezed(name) not in shown:
                raise NoBorder(
                    f"a chat template that does not print the call of '{name}' in turn {turn + 1}",
                    "a template that prints tool calls",
                )

    def _squeezed(self, text: str) -> str:
        return "".join(self._template.control.unmarked(text).split())

    def _check_tools(self, messages: Sequence[Message], tools: Tools) -> None:
        key = json.dumps(tools, sort_keys=True, default=str)
        if key not in self._tools_printed:
            without = self._template.render(messages)
            self._tools_printed[key] = self._template.render(messages, tools=tools) != without
        if not self._tools_printed[key]:
            raise NoBorder(
                "tools, which the chat template does not print",
                "a template that does, or `tools_field: null` to leave them out",
            )


def _name_of(call: Any) -> str | None:
    """The name of the function that a tool call names, in OpenAI's form or without its frame."""
    function = call.get("function", call) if isinstance(call, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None
