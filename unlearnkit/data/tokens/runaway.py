"""Refuses chat templates that loop, or write without end."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache, lru_cache
from hashlib import blake2b
from importlib import resources
from pathlib import Path
from typing import Any

from unlearnkit.data.tokens import render_once
from unlearnkit.data.tokens.kept import cache_folder
from unlearnkit.errors import RecipeError

SECONDS = 5
"""Longest time of the processor that the first rendering of a template may take."""
_STANDSTILL = 60 * SECONDS
"""Seconds of the clock; a busy machine or a slow disk makes an honest template wait."""
MOST_CHARACTERS = 10 * 2**20
"""The most that it may write."""
LONGEST_TEMPLATE = 2**20
"""Characters of a template; the longest of published models have some 20,000."""
_TOOLS = [{"type": "function", "function": {"name": "f", "description": "", "parameters": {}}}]


def refuse_runaway(template: str, turns: Sequence[Mapping[str, Any]]) -> None:
    """Renders a template of plain turns in a child process with limits, once for each template.

    Those that are shipped are let pass, and so are those that were rendered before, in this
    process or by the note of it in the folder of ``UNLEARNKIT_CACHE``.

    Args:
        template: The chat template.
        turns: A conversation.

    Raises:
        RecipeError: If it takes more than `SECONDS` of the processor, a gibibyte, or
            `MOST_CHARACTERS`.
    """
    if template not in _shipped():
        _refuse(template, json.dumps(list(turns)))


@lru_cache(maxsize=256)
def _refuse(template: str, turns: str) -> None:
    hint = "Give a model with another chat template, or mend this one."
    if len(template) > LONGEST_TEMPLATE:
        raise RecipeError(
            f"the chat template has {len(template):,} characters, and at most "
            f"{LONGEST_TEMPLATE:,} are read",
            hint=hint,
        )
    note = _note(template)
    if note is not None and note.is_file():
        return
    conversation = json.loads(turns)
    asked: dict[str, Any] = {"messages": conversation, "date_string": "01 Jan 2025"}
    system = [{"role": "system", "content": "a"}, *conversation]
    given = {
        "template": template,
        "most": MOST_CHARACTERS,
        "seconds": SECONDS,
        "conversations": [
            asked,
            {**asked, "add_generation_prompt": True},
            {**asked, "messages": system, "tools": _TOOLS},
        ],
    }
    words = [sys.executable, "-I", str(Path(render_once.__file__))]
    text = json.dumps(given)
    try:
        done = subprocess.run(
            words, input=text, text=True, timeout=_STANDSTILL, capture_output=True, check=False
        )
        status = done.returncode
    except subprocess.TimeoutExpired:
        status = None
    if status == render_once.BROKEN:
        raise RecipeError("the chat template is broken (it is nested too deeply)", hint=hint)
    # A negative status is a signal, such as that of the limit on time.
    if status is None or status == render_once.RAN_AWAY or status < 0:
        raise RecipeError(
            f"the chat template does not come to an end: three plain turns took more than "
            f"{SECONDS} seconds of the processor, {MOST_CHARACTERS // 2**20} million characters or "
            "1 GB of memory",
            hint=hint,
        )
    if note is not None:
        with suppress(OSError):  # It is rendered anew next time.
            note.parent.mkdir(parents=True, exist_ok=True)
            note.touch()


def _note(template: str) -> Path | None:
    """The file that tells that a template was rendered; None without a cache."""
    folder = cache_folder()
    digest = blake2b(template.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return None if folder is None else folder / "templates" / digest


@cache
def _shipped() -> frozenset[str]:
    folder = resources.files("unlearnkit") / "tiny" / "model"
    return frozenset({(folder / "chat_template.jinja").read_text(encoding="utf-8")})
