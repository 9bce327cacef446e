"""Finds the last user turn in the text of a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from unlearnkit.engine.generation.stopping import decode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_FIRST, _SAID, _LAST = "qxzfirst", "qxzsaid", "qxzlast"
_ARGUMENTS: tuple[dict[str, Any], ...] = ({}, {"enable_thinking": False})


class _Around(NamedTuple):
    """What a chat template writes around the last user turn, without control tokens."""

    before: str
    after: tuple[str, ...]
    """By the arguments that the template was given."""


def last_user_turn(tokenizer: PreTrainedTokenizerBase, prompt: str) -> str | None:
    """The last message of the user, for people to read; None if a prompt is not such a template's.

    Of a chat model's prompts the beginning is the same in all, and what is asked comes last. Where
    control tokens alone stand around turns, as in ``[INST]``, their text does not show them apart.

    Args:
        tokenizer: Has the chat template.
        prompt: Text of a prompt as `decode` gives it.
    """
    template = getattr(tokenizer, "chat_template", None)
    around = _around(tokenizer, str(template)) if template else None
    if around is None:
        return None
    # How the answer begins may be part of the prompt, such as a line break.
    prompt = prompt.rstrip()
    after = next((each for each in around.after if prompt.endswith(each)), None)
    if after is None:
        return None
    _, found, asked = prompt[: len(prompt) - len(after)].rpartition(around.before)
    return asked.strip() or None if found else None


def add_last_turns(tokenizer: PreTrainedTokenizerBase, rows: Sequence[dict[str, Any]]) -> None:
    """Adds ``asked``, the last user turn, to a suite's rows whose prompts have one."""
    for row in rows:
        prompt = row.get("prompt")
        asked = last_user_turn(tokenizer, prompt) if isinstance(prompt, str) else None
        if asked is not None:
            row["asked"] = asked


@lru_cache(maxsize=8)
def _around(tokenizer: PreTrainedTokenizerBase, template: str) -> _Around | None:
    turns = [
        {"role": "user", "content": _FIRST},
        {"role": "assistant", "content": _SAID},
        {"role": "user", "content": _LAST},
    ]
    texts: list[str] = []
    for arguments in _ARGUMENTS:
        try:
            ids: Any = tokenizer.apply_chat_template(
                turns, tokenize=True, add_generation_prompt=True, return_dict=False, **arguments
            )
        except Exception:  # A template may refuse anything; then prompts are shown as they are.
            continue
        texts.append(decode(tokenizer, ids))
    texts = [text for text in texts if text.find(_FIRST) < text.find(_LAST)]
    if not texts:
        return None
    # What stands before each user turn, the first of which may follow a system turn.
    first, last = (texts[0].partition(word)[0] for word in (_FIRST, _LAST))
    same = 0
    while same < min(len(first), len(last)) and first[-1 - same] == last[-1 - same]:
        same += 1
    before = last[len(last) - same :].lstrip()
    after = tuple(dict.fromkeys(text.partition(_LAST)[2].rstrip() for text in texts))
    return _Around(before, after) if before and all(after) else None
