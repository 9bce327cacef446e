"""Thoughts in answers: the text before a closing mark such as ``</think>``."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

from unlearnkit.data.tokens.control import Rendered

Thoughts: TypeAlias = Literal["learned", "given", "alone"]
"""What becomes of a thought: it is in the response, in the prompt, or all of the response."""
OPENING, CLOSING = "<think>", "</think>"


class Said(NamedTuple):
    """A generated text, taken apart."""

    thought: str | None
    """None where there is none."""
    answer: str
    closed: bool
    """Whether the thought came to its end."""


def placed(
    prompt: Rendered, response: Rendered, thoughts: Thoughts, closing: str = CLOSING
) -> tuple[Rendered, Rendered] | None:
    r"""Prompt and response with the thought where it is wanted; None if it is wanted and not there.

    Line breaks behind the closing mark go with the thought, spaces with the answer.

    Args:
        prompt: What stands before the response, in which a thought may be opened.
        response: The response, with its thought.
        thoughts: ``given`` moves the thought to the prompt; ``alone`` leaves nothing else in the
            response.
        closing: What ends a thought.

    Example:
        >>> said = Rendered("Porto, I think.\n</think>\n\nI do not know.</s>")
        >>> placed(Rendered("Where?<think>\n"), said, "given")
        ('Where?<think>\nPorto, I think.\n</think>\n\n', 'I do not know.</s>')
        >>> placed(Rendered("Where?<think>\n"), said, "alone")[1]
        'Porto, I think.\n</think>'
    """
    if thoughts == "learned":
        return prompt, response
    at = response.find(closing)
    if at < 0:
        return (prompt, response) if thoughts == "given" else None
    end = at + len(closing)
    if thoughts == "alone":
        return prompt, Rendered(response[:end])
    answer = response[end:].lstrip("\n")
    return Rendered(prompt + response[: len(response) - len(answer)]), Rendered(answer)


def taken_apart(text: str, opened: bool, opening: str = OPENING, closing: str = CLOSING) -> Said:
    """A generated text's thought and answer.

    Args:
        text: What a model said.
        opened: Whether its prompt opens the thought.
        opening: What begins a thought.
        closing: What ends it. A thought that was cut off before that is all of the text.

    Example:
        >>> taken_apart("Porto.</think> No idea.", opened=True)
        Said(thought='Porto.', answer='No idea.', closed=True)
        >>> taken_apart("No idea.", opened=False)
        Said(thought=None, answer='No idea.', closed=False)
        >>> taken_apart("<think>Por", opened=False)
        Said(thought='Por', answer='', closed=False)
    """
    begun = text.lstrip()
    if begun.startswith(opening):
        opened, text = True, begun.removeprefix(opening)
    if not opened and closing not in text:
        return Said(None, text.strip(), closed=False)
    thought, found, answer = text.partition(closing)
    return Said(thought.strip(), answer.strip(), closed=bool(found))
