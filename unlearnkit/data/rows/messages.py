"""Chat messages of published layouts, converted to role and content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from unlearnkit.data.rows.values import kind_of, quoted, text_fault

ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bard": "assistant",
    "bing": "assistant",
    "assistant": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
}
"""Role by what ShareGPT's files call it under ``from``."""


_KEYS = ("role", "content", "from", "value", "weight", "train", "training", "loss")
"""Keys of a message that decide what is learned."""


def plain_messages(messages: Any) -> Any:
    """Messages with ``role`` and text as ``content``; what is no such message stays as it is.

    ShareGPT's ``from`` and ``value`` are renamed, and so are its roles. The texts of content
    parts are joined by line breaks.

    Example:
        >>> plain_messages([{"from": "human", "value": "Hi."}])
        [{'role': 'user', 'content': 'Hi.'}]
        >>> plain_messages([{"role": "user", "content": [{"type": "text", "text": "Hi."}]}])
        [{'role': 'user', 'content': 'Hi.'}]
    """
    if not isinstance(messages, list):
        return messages
    return [_plain(message) if isinstance(message, Mapping) else message for message in messages]


def _plain(message: Mapping[str, Any]) -> Mapping[str, Any]:
    if _is_sharegpt(message) and layout_fault(message) is None:
        named = {"role": ROLES[message["from"].casefold()], "content": message["value"]}
        message = named | {k: v for k, v in message.items() if k not in ("from", "value")}
    content = message.get("content")
    if isinstance(content, list) and content and layout_fault(message) is None:
        return {**message, "content": "\n".join(map(_text, content))}
    return message


def layout_fault(message: Any) -> tuple[str, str] | None:
    """What is found and expected where a message is of no layout that is read, or None."""
    if not isinstance(message, Mapping):
        return None
    if _is_sharegpt(message):
        role = message["from"]
        if not isinstance(role, str) or role.casefold() not in ROLES:
            return f"{role!r} as `from`", f"one of {', '.join(ROLES)}"
    if (fault := _misspelt(message)) is not None:
        return fault
    parts = message.get("content")
    if isinstance(parts, list) and (fault := _part_fault(parts)) is not None:
        return f"{fault} in `content`", "text, or parts of the type 'text' alone"
    return None


def _misspelt(message: Mapping[str, Any]) -> tuple[str, str] | None:
    """A key or a role that nobody would read, and that is nearly one that is read."""
    for key in message:
        near = _near(key, _KEYS)
        if near is not None:
            return f"the key '{key}' beside {quoted(each for each in message if each != key)}", (
                f"'{near}', or a name that is not taken for it"
            )
    near = _near(message.get("role"), tuple(ROLES))
    return None if near is None else (f"the role '{message['role']}'", f"'{near}'")


def _near(word: Any, known: Sequence[str]) -> str | None:
    if not isinstance(word, str) or word in known:
        return None
    return next(iter(get_close_matches(word.casefold(), known, n=1, cutoff=0.8)), None)


def _is_sharegpt(message: Mapping[str, Any]) -> bool:
    return {"from", "value"} <= message.keys() and not {"role", "content"} & message.keys()


def _part_fault(parts: Sequence[Any]) -> str | None:
    if not parts:
        return "an empty array"
    for number, part in enumerate(parts, start=1):
        if isinstance(part, str):
            continue
        if not isinstance(part, Mapping):
            return f"part {number}: {kind_of(part)}"
        if part.get("type", "text") != "text":
            return f"part {number}: the type '{part['type']}'"
        if (fault := text_fault(part.get("text"), may_be_empty=True)) is not None:
            return f"part {number}: {fault}"
    return None


def _text(part: Any) -> str:
    return part if isinstance(part, str) else part["text"]
