"""Rules that combine the logits of several models, and their config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers import AutoConfig

from unlearnkit.functional.logit_rules import offset_logits, uld_logits, whp_logits
from unlearnkit.models.composite.base import CompositeConfig


@dataclass(frozen=True)
class Rule:
    """How logits are combined, and of which models.

    Args:
        parts: Names of the models, in the order of the arguments of ``combine``.
        own: The trained component, which is saved with the model; the others are pointed at.
        combine: Logits of the parts ``[..., V]`` and keyword arguments to logits.
    """

    parts: tuple[str, ...]
    own: str | None
    combine: Callable[..., Tensor]


RULES = {
    "offset": Rule(("base", "tuned", "small"), "tuned", offset_logits),
    "ucd": Rule(("base", "without", "trained"), None, offset_logits),
    "uld": Rule(("base", "assistant"), "assistant", uld_logits),
    "whp": Rule(("base", "reinforced"), None, whp_logits),
}


class CombinedConfig(CompositeConfig):
    """Config of a composite model that combines logits.

    Args:
        rule: A key of `RULES`.
        arguments: Of the rule, such as ``alpha``.
        **kwargs: As of any composite model.
    """

    model_type = "unlearnkit_combined"

    def __init__(
        self, rule: str = "offset", arguments: dict[str, float] | None = None, **kwargs: Any
    ) -> None:
        self.rule, self.arguments = rule, arguments or {}
        super().__init__(**kwargs)

    @property
    def edit(self) -> str:
        """The rule's name."""
        return self.rule

    @property
    def trained(self) -> str | None:
        """The part that the rule names."""
        return RULES[self.rule].own


AutoConfig.register(CombinedConfig.model_type, CombinedConfig, exist_ok=True)
