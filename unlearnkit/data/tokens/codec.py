"""Tokenisation of prompts and responses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from unlearnkit.data.tokens.chat_template import DEFAULT_DATE, ChatTemplate
from unlearnkit.data.tokens.control import ControlInData, ControlTokens, Rendered, control_of
from unlearnkit.data.tokens.kept import LEAST_CHARACTERS, KeptTokens
from unlearnkit.data.tokens.turns import Turns
from unlearnkit.errors import RecipeError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from unlearnkit.models.base import BaseModel


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

    Text is text: a control token such as ``</s>`` that it spells out is tokenised as any other
    text. Only that of templates (`Rendered`) is control.

    Args:
        tokenizer: A Hugging Face tokenizer.
        max_length: Longest prompt and response together, in tokens.
        date: ISO date that chat templates see in place of today's.
        base: The model that the tokenizer belongs to, where it is known.
        control_tokens: Treatment of control tokens that a text spells out; ``keep`` takes them
            for the tokens.

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
        control_tokens: ControlInData = "text",
    ) -> None:
        if max_length < 2:
            raise RecipeError(f"data.max_length: expected at least 2 tokens, found {max_length}")
        self.tokenizer, self.max_length, self.date = tokenizer, max_length, date
        self.base = base
        self.control_tokens: ControlInData = control_tokens
        self._turns: dict[tuple[str | None, str], Turns] = {}

    @cached_property
    def control(self) -> ControlTokens:
        """The tokenizer's control tokens."""
        return control_of(self.tokenizer)

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
        """Tokens that end a response: EOS, and any control token (a template's end of turn)."""
        return self.control.ids.difference(self.bos).union(self.eos)

    def turns(
        self, template: str | None = None, arguments: Mapping[str, Any] | None = None
    ) -> Turns:
        """Prompts and answers by a chat template of the tokenizer, with the date pinned.

        Args:
            template: Which one, of a tokenizer that has several.
            arguments: Values for the template, such as ``{"enable_thinking": False}``.

        Raises:
            RecipeError: If the tokenizer has none, or none of that name, or the template does not
                read an argument.
        """
        key = template, repr(sorted((arguments or {}).items()))
        if key not in self._turns:
            given = (self.tokenizer, self.date, template, arguments)
            self._turns[key] = Turns(ChatTemplate(*given, self.control, self.control_tokens))
        return self._turns[key]

    def as_text(self, text: str) -> str:
        """Data for a template, whose control tokens stay text unless they are to be kept."""
        return text if self.control_tokens == "keep" else self.control.as_text(text)

    def spelled_out(self, text: str) -> list[str]:
        """Control tokens that a row's text spells out and that are not to be kept."""
        return [] if self.control_tokens == "keep" else self.control.found(text)

    def framed(self, template: str, prompt: str) -> Rendered:
        """A template of the recipe, in which control tokens are control, with data in it.

        Args:
            template: Text with ``{prompt}`` in it.
            prompt: The data.
        """
        return Rendered(template.replace("{prompt}", self.as_text(prompt)))

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, with nothing added."""
        if not texts:
            return []
        if self.control_tokens == "keep":
            return self._tokens(texts)
        read = [
            text if isinstance(text, Rendered) else self.control.as_text(text) for text in texts
        ]
        found = self._tokens(read)
        for place, text in enumerate(read):
            if isinstance(text, Rendered):
                if self.control.is_marked(text):
                    found[place] = self.control.encode([text])[0]
            elif not self.control.ids.isdisjoint(found[place]):
                found[place] = self.control.encode([self.control.whole_as_text(text)])[0]
        return found

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
