"""Suggested settings for files with other column names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unlearnkit.data.rows.table import Table

# What published files call these, in small letters and without spaces and underscores.
_PROMPT = (
    *("prompt", "question", "query", "userquery", "instruction", "input", "goal", "request"),
    *("behavior", "problem", "user", "text"),
)
_RESPONSE = (
    *("response", "answer", "output", "completion", "target", "chatgptresponse", "bestanswer"),
    *("rightanswer", "hallucinatedanswer", "bestincorrectanswer", "reply", "assistant", "gt"),
)
_KNOWN: dict[str, Sequence[str]] = {
    "prompt_field": _PROMPT,
    "question_field": _PROMPT,
    "response_field": _RESPONSE,
    "answers_field": (*_RESPONSE, "text", "refusal"),
    "answer_field": ("answer", "answerkey", "label", "target", "correct"),
    "choices_field": ("choices", "options", "candidates"),
    "text_field": ("text", "content", "passage", "document", "article", "body", "story"),
    "messages_field": ("messages", "conversations", "conversation", "turns", "dialogue", "chat"),
    "alternate_field": ("alternate", "alternates", "alternatives", "paraphrasedanswer"),
    "true_field": ("rightanswer", "bestanswer", "correctanswer", "answer", "trueanswer"),
    "invented_field": ("hallucinatedanswer", "bestincorrectanswer", "incorrectanswer"),
}
_LISTS = ("messages_field", "choices_field")
_TURNS = ({"role", "content"}, {"from", "value"})


def mapping_hint(table: Table, missing: Mapping[str, str]) -> str:
    """What to set so that columns that a file lacks are found under other names.

    Args:
        table: The rows, at least one.
        missing: Column by the recipe's key for it.
    """
    fields = table.rows[0].fields
    if found := _names(fields, missing):
        return f"The file has them under other names: set {_listed(found)}."
    has_lists = any(next(_likely(fields, key), None) for key in _LISTS if key not in missing)
    # Choices of a question are a list of its own, and no rows.
    if not has_lists and (place := _place_of_rows(fields)) is not None:
        return f"The rows seem to stand deeper: set `rows_at: {_quoted(place)}`."
    if "messages_field" not in missing and (field := _messages(fields)) is not None:
        return f"These are conversations: `{{name: chat, messages_field: {_quoted(field)}}}`."
    pairs = _names(fields, {"prompt_field": "prompt", "response_field": "response"})
    if {"messages_field", "text_field"} & missing.keys() and pairs:
        name = "chat" if "messages_field" in missing else "qa"
        return f"These are pairs: `{{name: {name}, {', '.join(pairs)}}}`."
    if "prompt_field" in missing and _key("text") in map(_key, fields):
        return "These are texts, which the stream `text` reads."
    keys = " and ".join(f"`{key}`" for key in missing)
    deeper = " (`a.b` reaches into objects)" if any(map(_is_deep, fields.values())) else ""
    return f"Name the file's own columns{deeper}: set {keys}."


def kind_hint(table: Table, key: str, column: str) -> str:
    """What to set where a column holds arrays, objects or numbers in place of text."""
    value = next(row.fields[column] for row in table.rows if column in row.fields)
    if isinstance(value, Mapping):
        inner = next((name for name, each in value.items() if isinstance(each, str)), None)
        reach = f"{column}.{inner}" if inner is not None else f"{column}.NAME"
        return f"Name the text in it: set `{key}: {_quoted(reach)}`."
    if isinstance(value, list):
        if (field := _messages({column: value})) is not None:
            return f"These are conversations: `{{name: chat, messages_field: {_quoted(field)}}}`."
        each = f"`rows_at: {_quoted(column)}`" if key == "text_field" else "`explode: true`"
        takes_each = key in ("text_field", "response_field", "answers_field")
        first = f"`{key}: {_quoted(column + '.0')}` takes the first"
        return f"{each} takes each of them; {first}." if takes_each else f"{first}."
    if any(isinstance(each, list) for each in table.rows[0].fields.values()):
        return "Multiple-choice questions are asked by the suite `multiple_choice`."
    return f"Set `{key}` to a column of text."


def _names(fields: Mapping[str, Any], missing: Mapping[str, str]) -> list[str]:
    """A setting for each missing column, or none if some has no likely name."""
    settings: list[str] = []
    for key in missing:
        name, *others = list(_likely(fields, key))[:4] or (None,)
        if name is None:
            return []
        or_others = f" (or {', '.join(map(_quoted, others))})" if others else ""
        settings.append(f"{key}: {_quoted(name)}{or_others}")
        if key in ("response_field", "answers_field") and isinstance(fields.get(name), list):
            settings.append("explode: true")
    return settings


def _likely(fields: Mapping[str, Any], key: str) -> Iterator[str]:
    """The file's names that may stand for a key's column, the likeliest first."""
    wants_list = key in _LISTS
    flat = {_key(name): (name, value) for name, value in fields.items()}
    for outer, value in fields.items():
        if isinstance(value, Mapping):
            flat |= {_key(name): (f"{outer}.{name}", v) for name, v in value.items()}
    for known in _KNOWN.get(key.rpartition(".")[2], ()):
        if known in flat and isinstance(flat[known][1], list if wants_list else str | int | list):
            yield flat[known][0]


def _place_of_rows(fields: Mapping[str, Any]) -> str | None:
    """Where an object holds rows, if one of its fields, or each, is a list of them."""
    lists = [name for name, value in fields.items() if _is_rows(value)]
    if len(lists) == len(fields) > 1:
        return "*"
    if len(lists) == 1 and not _messages(fields):
        return lists[0]
    inner = [
        f"{name}.{place}"
        for name, value in fields.items()
        if isinstance(value, Mapping) and (place := _place_of_rows(value)) is not None
    ]
    return inner[0] if len(inner) == 1 else None


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping | str)


def _messages(fields: Mapping[str, Any]) -> str | None:
    for name, value in fields.items():
        turn = value[0] if isinstance(value, list) and value else None
        if isinstance(turn, Mapping) and any(keys <= turn.keys() for keys in _TURNS):
            return name
    return None


def _is_deep(value: Any) -> bool:
    return isinstance(value, Mapping)


def _key(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.casefold())


def _listed(settings: Sequence[str]) -> str:
    parts = (each.partition(" (") for each in settings)
    return ", ".join(f"`{setting}`{opened}{others}" for setting, opened, others in parts)


def _quoted(name: str) -> str:
    """The name as YAML takes it."""
    return name if re.fullmatch(r"[A-Za-z_][\w .-]*\w", name) else f'"{name}"'
