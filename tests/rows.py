"""Rows for stub models, one letter a token: ``a:cd b:ee`` are two prompts with their responses."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

FORGET = "a:cd b:ee c:da"
RETAIN = "c:ab d:ba e:cab a:bc"
OVERLAPPING = [("c", "da"), ("a", "cd"), ("B", " ee"), ("d", "ab")]  # with FORGET
STORED = {
    "forget": "a:cd b:eecab c:da d:a",
    "forget_changed": "a:cd b:eecaa c:da d:a",
    "retain": RETAIN,
}
PACED = {  # 3 rows, 7 answers, 50 rows
    "forget": "a:cd a:ee a:da",
    "mismatch": ":ab :ba :ca :cb :ac :bc :aa",
    "retain": " ".join(f"b:{first}{last}" for last in "abcde" for first in "abcdeabcde"),
}
UNEQUAL = {  # one prompt a stream, and no two responses of retain are of one length
    "forget": "a:cd a:ee a:da a:de",
    "retain": "b:a b:bb b:ccc b:dddd b:eeeee b:aaaaaa b:bbbbbbb b:cccccccc",
}
MANY_PROMPTS = {  # two processes cut their shares of a step into different numbers of parts
    "forget": "a:cd b:eecab c:da d:a e:bbbb",
    "retain": "b:a bc:bb d:ccc b:dddd cd:eeeee b:aaaaaa e:bbbbbbb b:cccccccc",
}


TURNS = (
    "{% for m in messages %}{% if m['role']=='assistant' %}e{{ m['content'] }}{{ eos_token }}"
    "{% else %}d{{ m['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}e{% endif %}"
)
"""A user's turn begins with d, the assistant's with e and ends with EOS."""

Rows = str | Sequence[tuple[str, str]]


def rows_of(rows: Rows) -> list[dict[str, str]]:
    """The rows; one without a prompt begins with the colon. Pairs may hold spaces."""
    pairs = [each.split(":") for each in rows.split()] if isinstance(rows, str) else rows
    return [{"prompt": p, "response": r} if p else {"response": r} for p, r in pairs]


def write_rows(folder: Path, **streams: Rows) -> Path:
    """Writes each stream to a file of its name, and gives the folder."""
    for name, text in streams.items():
        lines = [json.dumps(row) + "\n" for row in rows_of(text)]
        (folder / f"{name}.jsonl").write_text("".join(lines))
    return folder


def write_chats(folder: Path, *chats: str) -> Path:
    """Writes ``chat.jsonl``: ``s:e u:ab a:c`` is a system turn, a user's turn and an answer."""
    roles = {"u": "user", "a": "assistant", "s": "system"}
    rows = [
        {"messages": [{"role": roles[turn[0]], "content": turn[2:]} for turn in chat.split()]}
        for chat in chats
    ]
    (folder / "chat.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder
