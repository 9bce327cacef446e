"""Equality of texts up to case, white space and punctuation."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from unlearnkit.data.tokens.codec import Codec

KeysOf = Callable[[Sequence[Sequence[int]]], list[int]]
"""Keys of answers in tokens; two that say the same have the same key."""
_BATCH = 1000
_MARKS = frozenset(".,;:!?'\"…·¿¡。、，．：；！？")
UP_TO = "case, white space and punctuation at the ends"


def plain(text: str) -> str:
    r"""The text in the form in which it is compared (Unicode NFKC).

    Example:
        >>> plain(" A baker. ") == plain("a\u00a0Baker") == plain("“A baker!”")
        True
        >>> plain("A baker, I think") == plain("A baker I think"), plain("?!")
        (False, '?!')
        >>> plain("-5") == plain("5"), plain("5 %") == plain("5"), plain("C#") == plain("C")
        (False, False, False)
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    joined = "".join(folded.split())
    start, end = 0, len(joined)
    while start < end and _is_punctuation(joined[start]) and not _is_sign(joined[start:end]):
        start += 1
    while start < end and _is_punctuation(joined[end - 1]):
        end -= 1
    # Text of nothing else is told apart by it.
    return joined[start:end] or joined


def keys_of(codec: Codec) -> KeysOf:
    """Keys of answers in the tokens of a codec, without the tokens that end them."""
    # A function of its own would not travel to the processes of a loader.
    return partial(_keys, codec)


def _keys(codec: Codec, answers: Sequence[Sequence[int]]) -> list[int]:
    found: list[int] = []
    for start in range(0, len(answers), _BATCH):
        part = answers[start : start + _BATCH]
        texts = _decoded(codec.tokenizer, [codec.control.without(ids) for ids in part])
        found += [_key(plain(text), ids) for text, ids in zip(texts, part, strict=True)]
    return found


def _decoded(tokenizer: PreTrainedTokenizerBase, batch: list[list[int]]) -> list[str]:
    """Texts without special tokens; the library's own loop takes four times as long."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is not None:
        return fast.decode_batch(batch, skip_special_tokens=True)
    return tokenizer.batch_decode(
        batch, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )


def _key(text: str, ids: Sequence[int]) -> int:
    # Answers of special tokens alone, or of what a decoder leaves out, are told apart by ids.
    content = text or repr(tuple(ids))
    return int.from_bytes(blake2b(content.encode(), digest_size=8).digest())


def _is_punctuation(character: str) -> bool:
    """Whether it is punctuation of sentences; ``%``, ``#`` and their like belong to the word."""
    kind = unicodedata.category(character)
    return kind in ("Ps", "Pe", "Pi", "Pf", "Pd") or character in _MARKS


def _is_sign(text: str) -> bool:
    """Whether it begins with the sign of a number."""
    return unicodedata.category(text[0]) == "Pd" and text[1:2].isdigit()
