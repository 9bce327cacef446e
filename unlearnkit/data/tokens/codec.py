"""Text to token ids: prompt and response apart, and how they fit together."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from unlearnkit.data.tokens.chat_template import ChatTemplate
from unlearnkit.data.tokens.kept import LEAST_CHARACTERS, KeptTokens
from unlearnkit.errors import RecipeError
from unlearnkit.models.base import BaseModel

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DEFAULT_DATE = "2025-01-01"


class DoesNotFit(ValueError):
    """A prompt and response that leave nothing to learn; names what was found and expected."""

    def __init__(self, found: str, expected: str) -> None:
        super().__init__(f"found {found}, expected {expected}")
        self.found, self.expected = found, expected


class Codec:
    """Tokenises prompts and responses apart, so that the border between them is exact.

    A prompt begins with what the tokenizer puts in front by itself (one BOS, or nothing); what it
    puts behind (EOS, SEP) is left out. A response ends with EOS unless it is cut. Pad ids play no
    part, so a tokenizer without one works.

    Args:
        tokenizer: A Hugging Face tokenizer.
        max_length: Longest prompt and response together, in tokens.
        date: ISO date that chat templates see in place of today's.
        base: The model that the tokenizer belongs to, where it is known.

    Raises:
        RecipeError: If ``max_length`` leaves no room for a prompt and a response token.

    Example:
        >>> from tokenizers import Regex, Tokenizer, models, pre_tokenizers
        >>> from transformers import PreTrainedTokenizerFast
        >>> letters = Tokenizer(models.WordLevel({"?": 0, "a": 1, "b": 2, "c": 3, "</s>": 4}, "?"))
        >>> letters.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
        >>> codec = Codec(
        ...     PreTrainedTokenizerFast(tokenizer_object=letters, eos_token="</s>"), max_length=4
        ... )
        >>> prompt, response = codec.prompt("ab"), codec.response("ccc")
        >>> prompt, response, codec.fit(prompt, response)
        ([1, 2], [3, 3, 3, 4], [3, 3])
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        max_length: int,
        date: str = DEFAULT_DATE,
        base: str | BaseModel | None = None,
    ) -> None:
        if max_length < 2:
            raise RecipeError(f"data.max_length: expected at least 2 tokens, found {max_length}")
        self.tokenizer, self.max_length, self.date = tokenizer, max_length, date
        self.base = base

    @cached_property
    def bos(self) -> list[int]:
        """What the tokenizer puts in front of a text by itself: BOS, or nothing."""
        probe = "a"
        plain = self.tokens([probe])[0]
        whole = self.tokenizer.encode(probe)
        starts = (i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)
        return whole[: next(starts, 0)]

    @property
    def eos(self) -> list[int]:
        """EOS, or nothing where the tokenizer has none."""
        eos: int | None = self.tokenizer.eos_token_id  # pyright: ignore[reportAssignmentType]
        return [] if eos is None else [eos]

    @cached_property
    def end_ids(self) -> frozenset[int]:
        """Tokens that end a response: EOS, and any special token (a template's end of turn)."""
        added = self.tokenizer.added_tokens_decoder.items()
        special = {token for token, value in added if value.special}
        # A response may well end with a letter that the vocabulary lacks.
        special.discard(self.tokenizer.unk_token_id)  # pyright: ignore[reportArgumentType]
        return frozenset(special.difference(self.bos).union(self.eos))

    @cached_property
    def chat(self) -> ChatTemplate:
        """The tokenizer's chat template, with the date pinned.

        Raises:
            RecipeError: If the tokenizer has none.
        """
        return ChatTemplate(self.tokenizer, self.date)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, with nothing added."""
        if not texts:
            return []
        return self._tokens(texts)

    @cached_property
    def _kept(self) -> KeptTokens | None:
        return KeptTokens.of(self.tokenizer)

    def _tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """What the tokenizer gives, or gave before."""
        kept = self._kept if sum(map(len, texts)) >= LEAST_CHARACTERS else None
        if kept is not None and (found := kept.load(texts)) is not None:
            return found
        encoded = self.tokenizer(
            list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False
        )
        if kept is not None:
            kept.store(texts, encoded["input_ids"])
        return encoded["input_ids"]

    def prompts(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each prompt, with one BOS where the tokenizer adds one."""
        return [self.with_bos(ids) for ids in self.tokens(texts)]

    def with_bos(self, ids: list[int]) -> list[int]:
        """The ids after the tokenizer's BOS; a text that brings its own gets no second one."""
        return ids if ids[: len(self.bos)] == self.bos else self.bos + ids

    def responses(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each response, ended by one EOS."""
        return [self.with_end(ids) for ids in self.tokens(texts)]

    def with_end(self, ids: list[int]) -> list[int]:
        """The ids ended by EOS, unless they end a response already."""
        return ids if ids and ids[-1] in self.end_ids else ids + self.eos

    def prompt(self, text: str) -> list[int]:
        """Token ids of one prompt; see `prompts`."""
        return self.prompts([text])[0]

    def response(self, text: str) -> list[int]:
        """Token ids of one response; see `responses`."""
        return self.responses([text])[0]

    def fit(self, prompt_ids: Sequence[int], response_ids: Sequence[int]) -> list[int]:
        """The response, cut where prompt and response together reach ``max_length``.

        Raises:
            DoesNotFit: If the prompt has no token, or no response token but EOS is left.
        """
        if not prompt_ids:
            raise DoesNotFit(
                "an empty prompt, and a tokenizer that puts no BOS in front",
                "at least one token before the response",
            )
        room = max(self.max_length - len(prompt_ids), 0)
        total = self.content_length(response_ids)
        if min(room, total) == 0:
            where = f" (the prompt has {len(prompt_ids)})" if total else ""
            raise DoesNotFit(
                f"0 of {total} response tokens left at max_length {self.max_length}{where}",
                "at least 1",
            )
        return list(response_ids[:room])

    def content_length(self, response_ids: Sequence[int]) -> int:
        """Number of response tokens without the one that ends it."""
        return len(response_ids) - (bool(response_ids) and response_ids[-1] in self.end_ids)
