"""Template text around the answers of a stream."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from unlearnkit.data.tokens.control import Rendered

if TYPE_CHECKING:
    from unlearnkit.data.tokens.codec import Codec

Ids = Sequence[int]


class Frame(NamedTuple):
    r"""What a chat template, or the template of a stream, writes before and after an answer.

    Example:
        >>> from unlearnkit.data.tokens.codec import Codec
        >>> from unlearnkit.models.base import load_tokenizer
        >>> codec = Codec(load_tokenizer("tiny"), 64)
        >>> frame = codec.turns().frame()
        >>> frame, codec.tokenizer.decode(frame.tokens(codec, ["Ada."])[0])
        (Frame(before=' ', after='</s>'), ' Ada.</s>')
    """

    before: str = ""
    after: str = ""

    def tokens(self, codec: Codec, answers: Sequence[str]) -> list[list[int]]:
        """Token ids of answers in the frame, each ended."""
        framed = [f"{self.before}{codec.as_text(each)}{self.after}" for each in answers]
        return [codec.with_end(ids) for ids in codec.tokens(list(map(Rendered, framed)))]

    def end(self, codec: Codec) -> tuple[int, ...]:
        """The token that ends an answer, or nothing."""
        last = self.tokens(codec, ["a"])[0][-1]
        return (last,) if last in codec.end_ids else ()

    def instead(self, other: Frame, codec: Codec, answers: Sequence[Ids]) -> list[list[int]]:
        """The ids of another frame's answers as they are in this one.

        Answers that were cut stay cut, and those whose text does not give their ids back get
        another end alone.
        """
        words = [list(ids[: codec.content_length(ids)]) for ids in answers]
        texts = codec.tokenizer.batch_decode(words, clean_up_tokenization_spaces=False)
        framed = self.tokens(codec, [text.strip() for text in texts])
        end, always = self.end(codec), not other.end(codec)
        found: list[list[int]] = []
        for ids, own, again, new in zip(answers, words, codec.tokens(texts), framed, strict=True):
            if len(own) == len(ids) and not always:
                found.append(own)
            else:
                found.append(new if again == own else [*own, *end])
        return found
