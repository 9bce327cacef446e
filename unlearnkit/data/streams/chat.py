"""Conversations, rendered by the model's chat template."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, NamedTuple, get_args

from unlearnkit.data.rows.memory import RowSource
from unlearnkit.data.rows.messages import layout_fault, plain_messages
from unlearnkit.data.rows.reader import Row, Table
from unlearnkit.data.rows.values import check_columns, check_fields, kind_of, quoted
from unlearnkit.data.streams.base import FileStream, Tokens
from unlearnkit.data.tokens.chat_template import Message, TurnError
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.tokens.control import Rendered
from unlearnkit.data.tokens.conversation import (
    ASSISTANT,
    ROLES,
    learned_turns,
    message_fault,
    tools_of,
    without_flags,
)
from unlearnkit.data.tokens.frame import Frame
from unlearnkit.data.tokens.printed import Printed
from unlearnkit.data.tokens.thoughts import CLOSING, Thoughts, placed
from unlearnkit.data.tokens.turns import NoBorder
from unlearnkit.errors import Place, Problem, RecipeError

logger = logging.getLogger(__name__)

TOOLS = "tools"
"""The column of tools where none is named."""


class Conversation(NamedTuple):
    """Messages with roles and text."""

    place: Place
    messages: list[Message]
    learned: list[int]
    """Indices of the messages that are learned."""
    tools: list[dict[str, Any]] | None = None


class ChatStream(FileStream[Conversation], name="chat"):
    """Conversations: the assistant's turns are responses, what stands before them the prompt.

    A response is found by rendering the conversation twice: up to the turn, with the template's
    generation prompt, and with the turn. What every answer begins with by the template's doing,
    such as an empty thought, belongs to the prompt. A response ends with the template's end of
    turn, which is learned too.

    All keys of a message (``tool_calls``, ``reasoning_content``, ``name`` and so on) reach the
    template; one that it does not print is refused where it is text, and told where it is not. An
    earlier turn with ``tool_calls`` needs no text. A turn with ``weight: 0`` is not learned (nor
    one with ``train``, ``training`` or ``loss`` false).

    Args:
        path: A file (JSON lines, JSON, Parquet), or the id of a data set on the Hugging Face Hub.
        messages_field: The file's column of messages, each with ``role`` and ``content`` (text,
            or parts of text), or as ShareGPT has them with ``from`` and ``value``.
        prompt_field: A column of user turns, for files that have prompts and responses rather
            than messages; needs ``response_field``.
        response_field: The column of the assistant's turns that goes with ``prompt_field``.
        turns: ``last`` learns the last turn; ``all`` every turn of the assistant, each in its own
            sequence.
        system: System turn put in front of conversations that have none.
        fold_system: Put the system turn's text into the first user turn, for templates that
            refuse system turns.
        template: Name of the chat template, of a model that has several.
        template_arguments: Values for the chat template, such as ``{enable_thinking: false}``.
        tools_field: The file's column of tools, if it has one: an array, or the JSON text of one.
            Null leaves it out.
        thoughts: What becomes of the thought of an answer, up to ``thought_end``: ``learned`` as a
            part of the response, ``given`` as the end of the prompt, or ``alone``, without the
            answer behind it. An answer without a thought is whole where it is ``given``, and
            refused where it is learned ``alone``.
        thought_end: The text that ends a thought.
        **file: Which rows of the file, and how they are read; see `FileStream`.

    Raises:
        RecipeError: If only one of ``prompt_field`` and ``response_field`` is given.
    """

    def __init__(
        self,
        path: RowSource,
        messages_field: str = "messages",
        prompt_field: str | None = None,
        response_field: str | None = None,
        turns: Literal["last", "all"] = "last",
        system: str | None = None,
        fold_system: bool = False,
        template: str | None = None,
        template_arguments: dict[str, Any] | None = None,
        tools_field: str | None = TOOLS,
        thoughts: Thoughts = "learned",
        thought_end: str = CLOSING,
        **file: Any,
    ) -> None:
        super().__init__(path, **file)
        if thoughts not in get_args(Thoughts):
            raise RecipeError(f"thoughts: expected learned, given or alone, found {thoughts!r}")
        if not thought_end or (thoughts == "learned" and thought_end != CLOSING):
            raise RecipeError(
                "thought_end: expected text, beside thoughts: given or alone",
                hint="Leave it out where thoughts are learned like the rest of an answer.",
            )
        if (prompt_field is None) != (response_field is None):
            raise RecipeError("prompt_field and response_field: expected both or neither")
        if prompt_field is not None and messages_field != "messages":
            raise RecipeError("messages_field and prompt_field: expected one of them, found both")
        self.messages_field = messages_field
        self.prompt_field, self.response_field = prompt_field, response_field
        self.turns: Literal["last", "all"] = turns
        self.system, self.fold_system = system, fold_system
        self.template, self.template_arguments = template, template_arguments or {}
        self.tools_field = tools_field
        self.thoughts: Thoughts = thoughts
        self.thought_end = thought_end
        self._printed: tuple[Codec, Printed] | None = None

    def fields(self) -> tuple[str, ...]:
        """The messages, or prompt and response."""
        if self.prompt_field is not None and self.response_field is not None:
            return self.prompt_field, self.response_field
        return (self.messages_field,)

    def parse(self, table: Table) -> tuple[list[Conversation], list[Problem]]:
        """Conversations whose messages have a role and text."""
        if self.prompt_field is not None and self.response_field is not None:
            return self._parse_pairs(table, self.prompt_field, self.response_field)
        check_columns(table, {"messages_field": self.messages_field})
        if self.tools_field not in (None, TOOLS):  # the default one may be absent
            check_columns(table, {"tools_field": str(self.tools_field)})
        good: list[Conversation] = []
        problems: list[Problem] = []
        strange: dict[str, None] = {}
        for row in table.rows:
            faults = [*self._message_problems(table.file, row), *self._tool_problems(table, row)]
            problems += faults
            if not faults:
                messages = plain_messages(row.fields[self.messages_field])
                good.append(self._conversation(row, messages))
                strange |= dict.fromkeys(m["role"] for m in messages if m["role"] not in ROLES)
        if strange:
            logger.warning(
                "%s: the roles %s are none of %s; what becomes of their turns is the chat "
                "template's doing",
                table.file, quoted(strange), ", ".join(ROLES),
            )  # fmt: skip
        return good, problems

    def _parse_pairs(
        self, table: Table, prompt: str, response: str
    ) -> tuple[list[Conversation], list[Problem]]:
        rows, problems = check_fields(table, {"prompt_field": prompt, "response_field": response})
        good: list[Conversation] = []
        for row in rows:
            faults = list(self._tool_problems(table, row))
            problems += faults
            if not faults:
                asked = {"role": "user", "content": row.fields[prompt]}
                answered = {"role": ASSISTANT, "content": row.fields[response]}
                good.append(self._conversation(row, [asked, answered]))
        return good, problems

    def _message_problems(self, file: str, row: Row) -> Iterator[Problem]:
        field = self.messages_field
        if field not in row.fields:
            yield Problem(file, row.place, field, f"the fields {quoted(row.fields)}", f"'{field}'")
            return
        messages = row.fields[field]
        if not isinstance(messages, list) or not messages:
            found = "an empty array" if messages == [] else kind_of(messages)
            yield Problem(file, row.place, field, found, "an array of messages")
            return
        plain = plain_messages(messages)
        learned, sound = learned_turns(plain, self.turns), True
        for turn, message in enumerate(plain):
            fault = layout_fault(messages[turn]) or message_fault(message, turn in learned)
            if fault:
                found, expected = fault
                sound = False
                yield Problem(file, row.place, field, f"turn {turn + 1}: {found}", expected)
        last = plain[-1]
        if sound and not learned and last["role"] == ASSISTANT:
            which = "the last turn" if self.turns == "last" else "every turn of the assistant"
            yield Problem(file, row.place, field, f"weight 0 in {which}", "a turn to learn")

    def _tool_problems(self, table: Table, row: Row) -> Iterator[Problem]:
        try:
            self._tools(row)
        except ValueError as error:
            expected = "an array of tools (objects), or `tools_field: null` to leave them out"
            yield Problem(table.file, row.place, self.tools_field, str(error), expected)

    def _tools(self, row: Row) -> list[dict[str, Any]] | None:
        return None if self.tools_field is None else tools_of(row.fields.get(self.tools_field))

    def _conversation(self, row: Row, messages: Sequence[Mapping[str, Any]]) -> Conversation:
        learned, tools = learned_turns(messages, self.turns), self._tools(row)
        plain: list[Message] = list(map(without_flags, messages))
        if self.system is not None and plain[0]["role"] != "system":
            plain = [{"role": "system", "content": self.system}, *plain]
        if self.fold_system and plain[0]["role"] == "system" and len(plain) > 1:
            system, first, *rest = plain
            content = f"{system['content']}\n\n{first['content']}"
            plain = [{**first, "content": content}, *rest]
        moved = len(plain) - len(messages)
        return Conversation(row.place, plain, [turn + moved for turn in learned], tools)

    def tokenise(
        self, samples: Sequence[Conversation], codec: Codec
    ) -> Iterator[list[list[Tokens]] | Problem]:
        """One row per conversation, with one sequence per learned turn."""
        printed = self._printed_by(codec)
        rendered = [self._rendered(sample, printed) for sample in samples]
        turns = [turn for each in rendered if not isinstance(each, Problem) for turn in each]
        prompts = codec.tokens([prompt for prompt, _ in turns])
        responses = codec.tokens([response for _, response in turns])
        if self.thoughts != "alone":  # a thought goes on to the answer
            responses = map(codec.with_end, responses)
        sequences = zip(prompts, responses, strict=True)
        for each in rendered:
            yield each if isinstance(each, Problem) else [list(islice(sequences, len(each)))]

    def _rendered(
        self, sample: Conversation, printed: Printed
    ) -> list[tuple[Rendered, Rendered]] | Problem:
        """Prompt and answer of each learned turn, or what is wrong with the conversation."""
        try:
            if (role := sample.messages[-1]["role"]) != ASSISTANT:
                found = f"turn {len(sample.messages)} (role {role}) at the end"
                raise NoBorder(found, "an answer of the assistant at the end")
            found = printed.turns(sample.messages, sample.learned, sample.tools)
        except TurnError as error:
            return self._problem(sample, str(error), "turns that the chat template accepts")
        except NoBorder as error:
            return self._problem(sample, error.found, error.expected)
        parts = [placed(*each, self.thoughts, self.thought_end) for each in found]
        turns = [each for each in parts if each is not None and each[1].strip()]
        if len(turns) < len(found):
            expected = f"a thought that ends in {self.thought_end}, and an answer behind it"
            return self._problem(sample, "an answer without a thought, or nothing else", expected)
        return turns

    def _printed_by(self, codec: Codec) -> Printed:
        """What the template prints; known from one batch of rows to the next."""
        if self._printed is None or self._printed[0] is not codec:
            turns = codec.turns(self.template, self.template_arguments)
            self._printed = codec, Printed(turns, self.path)
        return self._printed[1]

    def _problem(self, sample: Conversation, found: str, expected: str) -> Problem:
        field = self.messages_field if self.prompt_field is None else self.prompt_field
        return Problem(self.path, sample.place, field, found, expected)

    def frame(self, codec: Codec) -> Frame:
        """What the chat template writes around an answer."""
        return codec.turns(self.template, self.template_arguments).frame()

    def text_of(self, sample: Conversation) -> str:
        """The text of all turns."""
        return "\n".join(message.get("content") or "" for message in sample.messages)
