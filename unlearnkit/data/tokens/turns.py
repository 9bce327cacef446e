"""Boundaries of answers in rendered conversations."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from unlearnkit.data.tokens.chat_template import (
    DEFAULT_DATE,
    ChatTemplate,
    Message,
    Tools,
    TurnError,
)
from unlearnkit.data.tokens.control import Rendered, control_of
from unlearnkit.data.tokens.frame import Frame
from unlearnkit.errors import RecipeError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Two answers that have neither beginning nor end in common.
_PROBES = ("Zebras graze", "quiet moon")
_LINE_OR_MARK = re.compile(r"<[^<>\s]*>|\[[^\[\]\s]*\]|\n|[^\n<\[]+|.")


class NoBorder(ValueError):
    """A conversation in which an answer cannot be told from what stands before it.

    Args:
        found: What was found.
        expected: What was expected.
        hint: What to do about it.
    """

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(found)
        self.found, self.expected = found, expected


class Scaffold(NamedTuple):
    """What a template writes around every answer, beyond its generation prompt."""

    lead: str
    tail: str


class Turns:
    r"""Splits conversations into prompts and answers, as training, scoring and generation need it.

    What every answer begins with by the template's doing, such as an empty thought, belongs to
    the prompt; what every answer ends with is left out but for the token that ends the turn. Both
    are found by rendering two answers that have nothing in common. Spaces before an answer stay
    with it, as they are tokenised together with its first word.

    Args:
        template: The chat template.

    Example:
        >>> from unlearnkit.models.base import load_tokenizer
        >>> turns = Turns(ChatTemplate(load_tokenizer("tiny"), "2025-01-01"))
        >>> asked = [{"role": "user", "content": "Who rows?"}]
        >>> turns.split([*asked, {"role": "assistant", "content": "Ada."}], 1)
        ('<s>Question: Who rows?\nAnswer:', ' Ada.</s>')
        >>> turns.prompt(asked)
        '<s>Question: Who rows?\nAnswer:'
    """

    def __init__(self, template: ChatTemplate) -> None:
        self.template = template
        self._known: dict[tuple[object, ...], Scaffold] = {}

    def prompt(self, messages: Sequence[Message], tools: Tools | None = None) -> Rendered:
        """The conversation up to where the words of an answer begin.

        Raises:
            TurnError: If the template refuses it.
        """
        before = self.template.render(messages, answer_next=True, tools=tools)
        return Rendered(before + self._around(messages, before, "assistant", tools).lead)

    def frame(self) -> Frame:
        """What stands around the answer to a plain question; nothing if that is refused."""
        words = _PROBES[0]
        asked = [{"role": "user", "content": "a"}, {"role": "assistant", "content": words}]
        try:
            answer: str = self.split(asked, 1)[1]
        except NoBorder:
            tail = self.template.render(asked).partition(words)[2]
            answer = self._ended(words + tail, tail)
        except TurnError:
            return Frame()
        before, found, after = answer.partition(words)
        return Frame(before, after) if found else Frame()

    def split(
        self,
        messages: Sequence[Message],
        index: int,
        tools: Tools | None = None,
        whole: Rendered | None = None,
    ) -> tuple[Rendered, Rendered]:
        """What stands before the answer of a turn, and the answer with its end of turn.

        Args:
            messages: The conversation.
            index: Place of the turn in it.
            tools: The tools that the conversation has.
            whole: The rendered conversation, where it is known.

        Raises:
            TurnError: If the template refuses the conversation.
            NoBorder: If the answer cannot be told from what stands before it.
        """
        asked = messages[:index]
        before = self.template.render(asked, answer_next=True, tools=tools)
        text = whole = whole or self.template.render(messages, tools=tools)
        if index + 1 < len(messages):
            text = self.template.render(messages[: index + 1], tools=tools)
            if not whole.startswith(text.rstrip()):
                raise NoBorder(
                    f"a chat template that changes turn {index + 1} when later turns follow",
                    "a template that leaves earlier turns as they are, or `turns: last` of the "
                    "stream",
                )
        if not text.startswith(before):
            raise NoBorder(
                f"a chat template whose generation prompt is not how turn {index + 1} begins "
                f"({_ending(*map(self.template.control.unmarked, (before, text)))})",
                "a template that renders an answer after its generation prompt, or the turns in "
                "the `template` of a stream `qa`",
            )
        around = self._around(asked, before, str(messages[index]["role"]), tools)
        rest = text[len(before) :]
        start = _reach(around.lead, rest)
        return Rendered(before + rest[:start]), Rendered(self._ended(rest[start:], around.tail))

    def _ended(self, answer: str, tail: str) -> str:
        """The answer with the token that ends it, if the template ends it with one."""
        if not tail or not answer.endswith(tail) or len(answer) == len(tail):
            return answer.rstrip()
        end = self.template.control.first(tail)
        if end is None:
            return answer[: -len(tail)].rstrip()
        space = tail[: end.start()]
        return answer[: -len(tail)] + (end[0] if space.strip() else space + end[0])

    def _around(
        self, asked: Sequence[Message], before: str, role: str, tools: Tools | None
    ) -> Scaffold:
        """What the template writes around any answer here; asked of it once for each shape."""
        shape = (*(_shape(message) for message in asked), role, bool(tools))
        if shape not in self._known:
            first, second = self._answers(asked, role, tools)
            usual = first.startswith(before) and second.startswith(before)
            self._known[shape] = (
                _scaffold(first, second, len(before)) if usual else Scaffold("", "")
            )
        return self._known[shape]

    def _answers(
        self, asked: Sequence[Message], role: str, tools: Tools | None
    ) -> Iterator[Rendered]:
        for words in _PROBES:
            answered = [*asked, {"role": role, "content": words}]
            yield self.template.render(answered, tools=tools)


def ends_of_turns(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """The id of the token by which the chat template ends an answer; none without a template."""
    try:
        template = ChatTemplate(tokenizer, DEFAULT_DATE, control=control_of(tokenizer))
    except RecipeError:
        return []
    end = template.control.first(Turns(template).frame().after)
    ids: Any = [] if end is None else tokenizer.convert_tokens_to_ids([end[0]])
    return ids


def _shape(message: Message) -> tuple[object, ...]:
    keys = sorted(key for key, value in message.items() if value)
    return str(message.get("role")), *keys


def _scaffold(first: str, second: str, start: int) -> Scaffold:
    first, second = first[start:], second[start:]
    lead = _shared(first, second)
    first, second = first[len(lead) :], second[len(lead) :]
    tail = _shared(first[::-1], second[::-1])[::-1]
    return Scaffold(lead.rstrip(" \t"), tail)


def _shared(first: str, second: str) -> str:
    """What both texts begin with."""
    pairs = enumerate(zip(first, second, strict=False))
    length = min(len(first), len(second))
    return first[: next((at for at, (a, b) in pairs if a != b), length)]


def _reach(lead: str, rest: str) -> int:
    """How far a turn begins as all answers do, in whole marks and lines.

    A turn that is more than words may share a part of it: a thought that is not empty, a tool call.
    """
    at = 0
    for part in _LINE_OR_MARK.findall(lead):
        if not rest.startswith(part, at):
            break
        at += len(part)
    return at


def _ending(prompt: str, text: str) -> str:
    """How a generation prompt goes on where the turn does not."""
    common = len(_shared(prompt, text))
    return f"it ends in {prompt[common:]!r}, the turn goes on with {text[common : common + 20]!r}"
