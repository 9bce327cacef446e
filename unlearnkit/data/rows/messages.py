"""Chat messages of published layouts, converted to role and content."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unlearnkit.data.rows.values import kind_of, text_fault

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
    parts = message.get("content")
    if isinstance(parts, list) and (fault := _part_fault(parts)) is not None:
        return f"{fault} in `content`", "text, or parts of the type 'text' alone"
    return None


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
