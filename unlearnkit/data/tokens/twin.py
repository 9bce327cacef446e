"""Copy of a tokenizer with other spellings of its control tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase


class Twin(NamedTuple):
    """A tokenizer with the same ids and other spellings of the control tokens."""

    tokenizer: Tokenizer
    spelling: dict[str, str]
    """How it spells each control token; the usual spelling is text to it."""

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, with nothing added."""
        return [e.ids for e in self.tokenizer.encode_batch(list(texts), add_special_tokens=False)]


def twin_of(tokenizer: PreTrainedTokenizerBase, names: Sequence[str]) -> Twin | None:
    """The twin, or None where there can be none, such as of a tokenizer in Python.

    Args:
        tokenizer: A Hugging Face tokenizer.
        names: Its control tokens as they are spelled.
    """
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    spelling = {name: f"\ufdd2{place}\ufdd3" for place, name in enumerate(names)}
    rules = json.loads(backend.to_str())
    for key in ("truncation", "padding", "post_processor"):
        rules[key] = None
    for added in rules["added_tokens"]:
        added["content"] = spelling.get(added["content"], added["content"])
    _respell(rules["model"], spelling)
    from tokenizers import Tokenizer

    try:
        twin = Twin(Tokenizer.from_str(json.dumps(rules)), spelling)
    except Exception:  # The library raises this type itself, for rules that do not go together.
        return None
    return twin if all(_alike(tokenizer, twin, name) for name in names) else None


def _respell(model: dict[str, Any], spelling: dict[str, str]) -> None:
    """Renames control tokens in a vocabulary, so that no text is taken for one of them."""
    vocabulary = model.get("vocab")
    if isinstance(vocabulary, list):
        model["vocab"] = [[spelling.get(piece, piece), *rest] for piece, *rest in vocabulary]
    elif isinstance(vocabulary, dict):
        model["vocab"] = {spelling.get(piece, piece): i for piece, i in vocabulary.items()}
    if model.get("unk_token") in spelling:
        model["unk_token"] = spelling[model["unk_token"]]
    if "merges" in model:
        model["merges"] = [m for m in model["merges"] if not _concerns(m, spelling)]


def _concerns(merge: str | Sequence[str], spelling: dict[str, str]) -> bool:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left in spelling or right in spelling or left + right in spelling


def _alike(tokenizer: PreTrainedTokenizerBase, twin: Twin, name: str) -> bool:
    """Whether the twin makes of its spelling what the tokenizer makes of the usual one."""
    usual = tokenizer.encode(f"a {name} b", add_special_tokens=False)
    return usual == twin.encode([f"a {twin.spelling[name]} b"])[0]
