"""Separation of control tokens from the text of data."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Literal

from unlearnkit.data.tokens.runaway import refuse_runaway
from unlearnkit.data.tokens.twin import Twin, twin_of
from unlearnkit.errors import RecipeError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ControlInData = Literal["text", "refuse", "keep"]
"""Treatment of a control token that the text of a row spells out."""

# Noncharacters of Unicode, which no text has.
_START, _END = "\ufdd0", "\ufdd1"
_MARKS = re.compile("[\ufdd0-\ufdef]")
_PLAIN_TURNS = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "a"},
    {"role": "user", "content": "a"},
]


class Rendered(str):
    """Text of a template: control tokens in it are control, but for those marked as data."""

    __slots__ = ()


class ControlTokens:
    """The tokens by which a tokenizer tells turns and texts apart, and how to keep data from them.

    These are the special tokens, and other added tokens that the chat template writes around plain
    turns. Added tokens that a model writes within its answers, such as ``<think>``, are none.

    Args:
        tokenizer: A Hugging Face tokenizer.

    Example:
        >>> from unlearnkit.models.base import load_tokenizer
        >>> tokenizer = load_tokenizer("tiny")
        >>> control = ControlTokens(tokenizer)
        >>> ids = control.encode([Rendered("Say" + control.as_text("</s>") + ".</s>")])[0]
        >>> [tokenizer.decode(token) for token in ids]
        ['S', 'ay', '<', '/', 's', '>', '.', '</s>']
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self.names = _names(tokenizer)
        """As they are spelled, longest first."""
        either = "|".join(map(re.escape, self.names)) or "(?!)"
        self._name = re.compile(either)
        self._concern = re.compile(f"{_MARKS.pattern}|{either}")
        self._inner = re.compile(
            f"{_START}(?P<text>[^{_START}{_END}]*){_END}"
            # A template that cuts text may have cut off one of the two marks.
            f"|{_START}(?P<begun>{either})|(?P<ended>{either}){_END}"
            f"|(?P<own>{either})|[{_START}{_END}]"
        )

    @cached_property
    def ids(self) -> frozenset[int]:
        """Their ids, but for that of unknown words, which text may well hold."""
        ids: Any = self._tokenizer.convert_tokens_to_ids(list(self.names))
        unknown: Any = self._tokenizer.unk_token_id
        return frozenset(ids) - {unknown, None}

    @cached_property
    def unskipped(self) -> frozenset[int]:
        """Those that the tokenizer does not take for special, so that it decodes them to text."""
        return self.ids - set(self._tokenizer.all_special_ids) - self._special

    @property
    def _special(self) -> set[int]:
        added = self._tokenizer.added_tokens_decoder.items()
        return {token for token, value in added if value.special}

    def without(self, ids: Sequence[int]) -> list[int]:
        """The ids but for marks of turns that the tokenizer would decode to text."""
        marks = self.unskipped
        return [token for token in ids if token not in marks] if marks else list(ids)

    def found(self, text: str) -> list[str]:
        """Control tokens that a text spells out, each once."""
        return list(dict.fromkeys(self._name.findall(text)))

    def first(self, text: str) -> re.Match[str] | None:
        """The first control token of a template's text."""
        return self._name.search(text)

    def as_text(self, text: str) -> str:
        """Data for a template: control tokens in it are marked, so that they stay text.

        Text without any is returned as it is. Noncharacters of Unicode become U+FFFD.
        """
        if self._concern.search(text) is not None:
            text = _MARKS.sub("\ufffd", text)
            text = Rendered(self._name.sub(rf"{_START}\g<0>{_END}", text))
        return self.whole_as_text(text) if self._reads_otherwise(text) else text

    def whole_as_text(self, text: str) -> Rendered:
        """Data of which all is marked, for control tokens that a tokenizer spells otherwise."""
        return Rendered(f"{_START}{_MARKS.sub('', text)}{_END}")

    def all_as_text(self, value: Any) -> Any:
        """The same for every text in a message, a tool, or a list of them."""
        if isinstance(value, str):
            return self.as_text(value)
        if isinstance(value, Mapping):
            return {self.all_as_text(k): self.all_as_text(each) for k, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.all_as_text(each) for each in value]
        return value

    def unmarked(self, text: str) -> str:
        """The text as a reader sees it."""
        return _MARKS.sub("", text)

    def is_marked(self, text: str) -> bool:
        """Whether some of the text is marked, so that it has to go through `encode`."""
        return _START in text or _END in text

    def encode(self, texts: Sequence[Rendered]) -> list[list[int]]:
        """Token ids of texts with marks; the marks leave no trace.

        Raises:
            RecipeError: If the tokenizer makes a control token of plain text whatever is done.
        """
        if self._twin is not None:
            return self._twin.encode([self._inner.sub(self._respelled, text) for text in texts])
        return [self._in_pieces(text) for text in texts]

    @cached_property
    def _twin(self) -> Twin | None:
        return twin_of(self._tokenizer, self.names)

    def _respelled(self, match: re.Match[str]) -> str:
        assert self._twin is not None
        own = match["own"]
        return self._twin.spelling[own] if own else _data(match)

    def _in_pieces(self, text: str) -> list[int]:
        """Ids of a tokenizer that has no twin, such as one in Python: each marked part apart."""
        ids: list[int] = []
        at, plain = 0, ""
        for match in self._inner.finditer(text):
            plain += text[at : match.start()] + (match["own"] or "")
            at = match.end()
            if data := _data(match):
                ids += self._piece(plain, bool(ids)) + self._piece(data, bool(ids or plain), True)
                plain = ""
        return ids + self._piece(plain + text[at:], bool(ids))

    def _piece(self, piece: str, within: bool, as_text: bool = False) -> list[int]:
        """Ids of a part; within a text without the space that some put before a text."""
        if not piece:
            return []
        found = self._encode("\n" + piece, as_text) if within else self._encode(piece, as_text)
        if within:
            start = self._encode("\n", as_text)
            same = found[: len(start)] == start
            found = found[len(start) :] if same else self._encode(piece, as_text)
        if as_text and not self.ids.isdisjoint(found):
            raise RecipeError(
                f"the tokenizer makes a control token of the plain text {piece!r}",
                hint="Leave the row out, or set data.control_tokens: keep to mean the token.",
            )
        return found

    def _encode(self, text: str, as_text: bool) -> list[int]:
        return self._tokenizer.encode(
            text, add_special_tokens=False, split_special_tokens=as_text, verbose=False
        )

    def _reads_otherwise(self, text: str) -> bool:
        """Whether normalising the text makes a control token that it does not spell out."""
        if self._normalizer is None:
            return False
        normal = self._normalizer.normalize_str(text)
        return any(normal.count(name) > text.count(name) for name in self._normalized)

    @cached_property
    def _normalizer(self) -> Any:
        backend = getattr(self._tokenizer, "backend_tokenizer", None)
        return getattr(backend, "normalizer", None) if self._normalized else None

    @cached_property
    def _normalized(self) -> list[str]:
        added = self._tokenizer.added_tokens_decoder.values()
        return [each.content for each in added if each.normalized and each.content in self.names]


def control_of(tokenizer: PreTrainedTokenizerBase) -> ControlTokens:
    """The control tokens of a tokenizer, known from one call to the next."""
    state = tokenizer.chat_template, len(tokenizer), tokenizer.special_tokens_map
    return _control_of(tokenizer, repr(state))


@lru_cache(maxsize=4)
def _control_of(tokenizer: PreTrainedTokenizerBase, state: str) -> ControlTokens:
    return ControlTokens(tokenizer)


def _data(match: re.Match[str]) -> str:
    return match["text"] or match["begun"] or match["ended"] or ""


def _names(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    added = tokenizer.added_tokens_decoder.values()
    special = {each.content for each in added if each.special} | set(tokenizer.all_special_tokens)
    around = _around_plain_turns(tokenizer)
    marks = {
        each.content
        for each in added
        if each.content in around and not re.fullmatch(r"[\w\s]*", each.content)
    }
    return sorted((special | marks) - {""}, key=lambda name: (-len(name), name))


def _around_plain_turns(tokenizer: PreTrainedTokenizerBase) -> str:
    """What the chat templates write around turns, or nothing where there is none."""
    templates: Any = getattr(tokenizer, "chat_template", None) or {}
    if isinstance(templates, str):
        templates = {"default": templates}
    found: list[str] = []
    for template in templates.values():
        refuse_runaway(template, _PLAIN_TURNS)
        for turns in (_PLAIN_TURNS, _PLAIN_TURNS[1:]):
            try:
                found.append(
                    str(
                        tokenizer.apply_chat_template(turns, chat_template=template, tokenize=False)
                    )
                )
            except Exception:  # A template is a program of its own and fails in its own ways.
                continue
            break
    return "\n".join(found)
