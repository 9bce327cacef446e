"""Checks of conversations, and selection of learned turns."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from unlearnkit.data.rows.values import kind_of, quoted, text_fault

ASSISTANT = "assistant"
ROLES = ("system", "developer", "user", ASSISTANT, "tool", "function", "ipython")
"""Roles that chat templates know by these names."""
FLAGS = ("weight", "train", "training", "loss")
"""Keys that say whether a turn is learned."""
THOUGHTS = ("reasoning_content", "thinking", "reasoning")
"""Keys of a thought; transformers gives each to templates that read another of them."""
CALLS = ("tool_calls", "function_call")
_LINKS = ("tool_call_id", "id")
"""Keys that link messages and say nothing."""

Fault = tuple[str, str]
"""What is found, and what is expected."""


def learned_turns(messages: Sequence[Any], turns: Literal["last", "all"]) -> list[int]:
    """Indices of the turns to learn: the last, or all of the assistant's, but for weight 0.

    Example:
        >>> said = [{"role": "assistant", "weight": 0}, {"role": "user"}, {"role": "assistant"}]
        >>> learned_turns(said, "all")
        [2]
    """
    chosen = range(len(messages)) if turns == "all" else [len(messages) - 1]
    return [
        turn
        for turn in chosen
        if isinstance(message := messages[turn], Mapping)
        and message.get("role") == ASSISTANT
        and all(message.get(flag) in (None, 1) for flag in FLAGS)
    ]


def message_fault(message: Any, learned: bool) -> Fault | None:
    """What is found and expected in a message that cannot be used.

    Args:
        message: One message.
        learned: Whether its text is to be learned; else it may be empty.
    """
    if not isinstance(message, Mapping):
        return kind_of(message), "a message with `role` and `content`, or `from` and `value`"
    if "role" not in message:
        return f"a message with {quoted(message)}", "`role`"
    if fault := text_fault(message["role"]):
        return f"{fault} as `role`", "text"
    return _flag_fault(message) or _content_fault(message, learned)


def _flag_fault(message: Mapping[str, Any]) -> Fault | None:
    given = {flag: message[flag] for flag in FLAGS if message.get(flag) is not None}
    for flag, value in given.items():
        if not isinstance(value, bool | int | float) or value not in (0, 1):
            return f"{value!r} as `{flag}`", "0 or 1"
    if len(set(given.values())) > 1:
        return f"`{'` and `'.join(given)}` that disagree", "one of them"
    if 1 in given.values() and message["role"] != ASSISTANT:
        found = f"`{next(iter(given))}` 1 in a turn of the role {message['role']}"
        return found, "it in turns of the assistant, which alone are learned"
    return None


def _content_fault(message: Mapping[str, Any], learned: bool) -> Fault | None:
    calls = message["role"] == ASSISTANT and any(message.get(key) for key in CALLS)
    content = message.get("content")
    if content is None and calls:
        return None
    if "content" not in message:
        return f"a message with {quoted(message)}", "`content`"
    fault = text_fault(content, may_be_empty=calls or not learned)
    return (f"{fault} as `content`", "text") if fault else None


def without_flags(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message as templates take it.

    Example:
        >>> without_flags({"role": "user", "content": "Hi", "weight": 0})
        {'role': 'user', 'content': 'Hi'}
    """
    return {key: value for key, value in message.items() if key not in FLAGS}


def further_keys(message: Mapping[str, Any]) -> list[str]:
    """Keys with a value that a template has to read, or they are lost."""
    own = ("role", "content", *_LINKS)
    empty: tuple[Any, ...] = (None, "", [], {})
    return [key for key, value in message.items() if value not in empty and key not in own]


def tools_of(value: Any) -> list[dict[str, Any]] | None:
    """A row's tools, as an array or as the JSON text of one; None where there are none.

    Raises:
        ValueError: With what was found instead.

    Example:
        >>> tools_of('[{"type": "function"}]'), tools_of([])
        ([{'type': 'function'}], None)
    """
    if isinstance(value, str):
        try:
            value = json.loads(value) if value.strip() else None
        except ValueError:
            raise ValueError("text that is no JSON") from None
    if not value and value is not False:
        return None
    if not isinstance(value, list):
        raise ValueError(kind_of(value))
    for each in value:
        if not isinstance(each, Mapping):
            raise ValueError(f"an array with {kind_of(each)}")
    return [dict(each) for each in value]
