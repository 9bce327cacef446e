"""How the logits of several models are combined, and the config that says so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import AutoConfig, PreTrainedConfig

from unlearnkit.functional.logit_rules import offset_logits, uld_logits, whp_logits

PARTS = "parts"
"""Folder of the parts that are saved with the model, below the model's own."""


@dataclass(frozen=True)
class Rule:
    """How logits are combined, and of which models.

    Args:
        parts: Names of the models, in the order of the arguments of ``combine``.
        own: The part that is saved with the model and may be trained; the others are pointed at.
        combine: Logits of the parts ``[..., V]`` and keyword arguments to logits.
    """

    parts: tuple[str, ...]
    own: str | None
    combine: Callable[..., Tensor]


RULES = {
    "offset": Rule(("base", "tuned", "small"), "tuned", offset_logits),
    "uld": Rule(("base", "assistant"), "assistant", uld_logits),
    "whp": Rule(("base", "reinforced"), None, whp_logits),
}


class CombinedConfig(PreTrainedConfig):
    """What a combined model is made of.

    Args:
        rule: A key of `RULES`.
        arguments: Of the rule, such as ``alpha``.
        parts: Where each part is: ``path`` and the like, and ``fingerprint``.
        vocab_size: Tokens that all parts know.
        num_hidden_layers: Decoder blocks of the part that is trained, else of the base.
        max_position_embeddings: Longest sequence of all parts.
        **kwargs: As in transformers.
    """

    model_type = "unlearnkit_combined"

    def __init__(
        self,
        rule: str = "offset",
        arguments: dict[str, float] | None = None,
        parts: dict[str, dict[str, str]] | None = None,
        vocab_size: int = 0,
        num_hidden_layers: int = 0,
        max_position_embeddings: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.rule, self.arguments, self.parts = rule, arguments or {}, parts or {}
        self.vocab_size, self.num_hidden_layers = vocab_size, num_hidden_layers
        self.max_position_embeddings = max_position_embeddings
        kwargs["tie_word_embeddings"] = False
        super().__init__(**kwargs)


AutoConfig.register(CombinedConfig.model_type, CombinedConfig, exist_ok=True)
