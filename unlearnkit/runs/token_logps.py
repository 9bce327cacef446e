"""Log-probabilities of single tokens of a few forget rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unlearnkit.data.encoded import StreamData
from unlearnkit.engine.generation.last_turn import last_user_turn
from unlearnkit.engine.generation.scoring import score
from unlearnkit.plain import spaced
from unlearnkit.suites.parts.continuations import text_of

if TYPE_CHECKING:
    from torch import nn

_ROWS = 8
_MOST_TOKENS = 192


class TokenLogps:
    """Log-probabilities of the true tokens of a few forget rows, under one model after another.

    Args:
        data: The recipe's streams; without one named ``forget`` nothing is measured.
        tokenizer: Turns tokens to text.
    """

    def __init__(self, data: Mapping[str, StreamData], tokenizer: Any) -> None:
        forget = data.get("forget")
        self._tokenizer = tokenizer
        self._examples = [
            example._replace(response_ids=example.response_ids[:_MOST_TOKENS])
            for row in spaced(range(len(forget or ())), _ROWS)
            if forget is not None
            for example in forget.measured(row)[:1]
        ]
        self._logps: dict[str, list[list[float]]] = {}

    def measure(self, when: str, model: nn.Module) -> None:
        """Scores the rows; one forward pass of a few rows."""
        if self._examples:
            flat = iter(score(model, self._examples).logps.tolist())
            self._logps[when] = [[next(flat) for _ in e.response_ids] for e in self._examples]

    def rows(self) -> list[dict[str, Any]]:
        """One mapping per row: source, prompt, tokens as text, log-probs in nats by model."""
        return [
            {
                "row": example.row,
                "source": example.source,
                "prompt": last_user_turn(self._tokenizer, text) or text,
                "tokens": _pieces(self._tokenizer, example.response_ids),
                "logps": {when: each[i] for when, each in self._logps.items()},
            }
            for i, example in enumerate(self._examples)
            for text in [text_of(self._tokenizer, example.prompt_ids)]
        ]


def _pieces(tokenizer: Any, ids: Sequence[int]) -> list[str]:
    """The text that each token adds; special tokens by their names."""
    found: list[str] = []
    so_far = ""
    for end, token in enumerate(ids, 1):
        text = text_of(tokenizer, ids[:end])
        added = text[len(so_far) :] if text.startswith(so_far) else ""
        found.append(added or str(tokenizer.decode([token])))
        so_far = text
    return found
