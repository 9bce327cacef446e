"""Conversations, rendered by the model's chat template."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from unlearnkit.data.rows.messages import layout_fault, plain_messages
from unlearnkit.data.rows.reader import Row, Table
from unlearnkit.data.rows.values import check_columns, check_fields, kind_of, quoted, text_fault
from unlearnkit.data.streams.base import FileStream, OnBadRows, Scalar, Tokens
from unlearnkit.data.tokens.chat_template import ChatTemplate, Message, TurnError
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import Place, Problem, RecipeError

ASSISTANT = "assistant"


class Conversation(NamedTuple):
    """Messages with roles and text."""

    place: Place
    messages: list[Message]


class ChatStream(FileStream[Conversation], name="chat"):
    """Conversations: the assistant's turns are responses, what stands before them the prompt.

    A response is found by rendering the conversation twice: up to the turn, with the template's
    generation prompt, and with the turn. It ends with the template's end of turn, which is
    learned too; white space after it is not.

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
        split: A split, or a part of one such as ``train[:70%]``; a file is ``train``.
        config: Configuration of a data set on the Hub, or file of a folder.
        where: Keep only rows whose fields have these values.
        limit: Use the first rows only.
        batch_size: Rows per micro-batch and process; by default the data's ``batch_size``.
        on_bad_rows: ``error`` stops at rows that cannot be used and names all of them; ``drop``
            leaves them out and logs how many.
        rows_at: Where the rows stand in the file's objects, such as ``data`` or ``data.*.pairs``;
            the fields beside the way there go with each row, and ``*`` is every item.

    Raises:
        RecipeError: If only one of ``prompt_field`` and ``response_field`` is given.
    """

    def __init__(
        self,
        path: str,
        messages_field: str = "messages",
        prompt_field: str | None = None,
        response_field: str | None = None,
        turns: Literal["last", "all"] = "last",
        system: str | None = None,
        fold_system: bool = False,
        split: str = "train",
        config: str | None = None,
        where: dict[str, Scalar] | None = None,
        limit: int | None = None,
        batch_size: int | None = None,
        on_bad_rows: OnBadRows = "error",
        rows_at: str | None = None,
    ) -> None:
        super().__init__(path, split, config, where, limit, batch_size, on_bad_rows, rows_at)
        if (prompt_field is None) != (response_field is None):
            raise RecipeError("prompt_field and response_field: expected both or neither")
        self.messages_field = messages_field
        self.prompt_field, self.response_field = prompt_field, response_field
        self.turns, self.system, self.fold_system = turns, system, fold_system

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
        good: list[Conversation] = []
        problems: list[Problem] = []
        for row in table.rows:
            faults = list(self._message_problems(table.file, row))
            problems += faults
            if not faults:
                messages = plain_messages(row.fields[self.messages_field])
                good.append(self._conversation(row.place, messages))
        return good, problems

    def _parse_pairs(
        self, table: Table, prompt: str, response: str
    ) -> tuple[list[Conversation], list[Problem]]:
        rows, problems = check_fields(table, {"prompt_field": prompt, "response_field": response})
        good = [
            self._conversation(
                row.place,
                [
                    {"role": "user", "content": row.fields[prompt]},
                    {"role": ASSISTANT, "content": row.fields[response]},
                ],
            )
            for row in rows
        ]
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
        for turn, message in enumerate(messages, start=1):
            fault = layout_fault(message) or _message_fault(*plain_messages([message]))
            if fault:
                found, expected = fault
                yield Problem(file, row.place, field, f"turn {turn}: {found}", expected)

    def _conversation(self, place: Place, messages: list[Message]) -> Conversation:
        if self.system is not None and messages[0]["role"] != "system":
            messages = [{"role": "system", "content": self.system}, *messages]
        if self.fold_system and messages[0]["role"] == "system" and len(messages) > 1:
            system, first, *rest = messages
            content = f"{system['content']}\n\n{first['content']}"
            messages = [{**first, "content": content}, *rest]
        return Conversation(place, messages)

    def tokenise(
        self, samples: Sequence[Conversation], codec: Codec
    ) -> Iterator[list[list[Tokens]] | Problem]:
        """One row per conversation, with one sequence per learned turn."""
        for sample in samples:
            try:
                rendered = self._rendered(sample.messages, codec.chat)
            except TurnError as error:
                yield self._problem(sample, str(error), "turns that the chat template accepts")
            except _NoBorder as error:
                yield self._problem(sample, str(error), error.expected)
            else:
                prompts = codec.tokens([prompt for prompt, _ in rendered])
                responses = codec.tokens([response for _, response in rendered])
                ended = map(codec.with_end, responses)
                yield [list(zip(prompts, ended, strict=True))]

    def _rendered(self, messages: list[Message], template: ChatTemplate) -> list[tuple[str, str]]:
        """Prompt and response text of each learned turn."""
        whole = template.render(messages)
        last = len(messages) - 1
        if messages[last]["role"] != ASSISTANT:
            found = f"turn {last + 1} (role {messages[last]['role']}) at the end"
            raise _NoBorder(found, "an answer of the assistant at the end")
        turns = [last]
        if self.turns == "all":
            turns = [t for t, message in enumerate(messages) if message["role"] == ASSISTANT]
        return [_split(messages, turn, whole, template) for turn in turns]

    def _problem(self, sample: Conversation, found: str, expected: str) -> Problem:
        field = self.messages_field if self.prompt_field is None else self.prompt_field
        return Problem(self.path, sample.place, field, found, expected)

    def text_of(self, sample: Conversation) -> str:
        """The text of all turns."""
        return "\n".join(message["content"] for message in sample.messages)


class _NoBorder(ValueError):
    """A conversation in which the answer cannot be told from what stands before it."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found)
        self.expected = expected


def _split(
    messages: list[Message], index: int, whole: str, template: ChatTemplate
) -> tuple[str, str]:
    """What stands before the answer of a turn, and the answer with its end of turn."""
    prompt = template.render(messages[:index], answer_next=True)
    text = whole
    if index + 1 < len(messages):
        text = template.render(messages[: index + 1]).rstrip()
        if not whole.startswith(text):
            raise _NoBorder(
                f"a chat template that changes turn {index + 1} when later turns follow",
                "a template that leaves earlier turns as they are, or `turns: last` of the stream",
            )
    if not text.startswith(prompt):
        raise _NoBorder(
            f"a chat template whose generation prompt is not how turn {index + 1} begins",
            "a template that renders an answer after its generation prompt",
        )
    return prompt, text[len(prompt) :].rstrip()


def _message_fault(message: Any) -> tuple[str, str] | None:
    """What is found and expected in a message, if it cannot be used."""
    if not isinstance(message, dict):
        return kind_of(message), "a message with `role` and `content`, or `from` and `value`"
    for key in ("role", "content"):
        if key not in message:
            return f"a message with {quoted(message)}", f"`{key}`"
        fault = text_fault(message[key], may_be_empty=message.get("role") != ASSISTANT)
        if fault:
            return f"{fault} as `{key}`", "text"
    return None
