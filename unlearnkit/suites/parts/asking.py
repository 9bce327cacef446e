"""Questions to a model, and its answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from unlearnkit.data.example import Example
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.tokens.control import Rendered
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import score
from unlearnkit.functional.core import row_sum
from unlearnkit.suites.base import SuiteContext
from unlearnkit.suites.parts.chat import Chat
from unlearnkit.suites.parts.continuations import longest_generation, text_of
from unlearnkit.suites.parts.published import Item

if TYPE_CHECKING:
    from torch import nn


class Asking(NamedTuple):
    """A model, and the form in which it is asked."""

    model: nn.Module
    codec: Codec
    context: SuiteContext
    chat: Chat | None

    def framed(self, template: str, query: str) -> str:
        """A query within the text that the recipe puts around it."""
        if self.chat is None:
            query = self.codec.as_text(query)
        text = template.replace("{query}", query)
        return text if self.chat else Rendered(text)

    def prompts(self, asked: Sequence[tuple[str, str]]) -> list[list[int]]:
        """Ids of prompts, each with how its answer begins."""
        return self.codec.prompts([self._prompt(text, lead) for text, lead in asked])

    def _prompt(self, text: str, lead: str) -> str:
        if self.chat is None:
            whole = f"{text}{lead}".rstrip(" ")
            return Rendered(whole) if isinstance(text, Rendered) else whole
        asked = self.chat.turns(self.codec).prompt(self.chat.asked(text))
        return Rendered(asked + lead)

    def answers(
        self,
        stream: str,
        items: Sequence[Item],
        prompts: Sequence[Sequence[int]],
        tokens: int,
        stop: Sequence[str] = (),
    ) -> list[dict[str, Any]]:
        """One row per item: its prompt, and the greedy answer up to a stop string."""
        found = generate(
            self.model,
            self.codec.tokenizer,
            prompts,
            max_new_tokens=longest_generation(self.context, tokens),
            batch_size=self.context.batch_size,
            stop=stop,
        )
        return [
            {
                "stream": stream,
                "row": item.row,
                "source": item.source,
                "prompt": text_of(self.codec.tokenizer, prompt),
                "generated": new.text,
            }
            for item, prompt, new in zip(items, prompts, found, strict=True)
        ]

    def logps(self, pairs: Sequence[tuple[Sequence[int], str]]) -> list[float]:
        """Log-probability of each text after its prompt, in nats."""
        texts = self.codec.tokens([text for _, text in pairs])
        examples = [
            Example(tuple(prompt), tuple(ids), i, "")
            for i, ((prompt, _), ids) in enumerate(zip(pairs, texts, strict=True))
        ]
        scores = score(self.model, examples, batch_size=self.context.batch_size)
        return row_sum(scores.logps, scores.sequence, len(examples)).tolist()
