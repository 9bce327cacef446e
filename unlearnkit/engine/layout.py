"""Which layout a model can take."""

from __future__ import annotations

import logging
from typing import Any, Literal

from unlearnkit.data.pack import Layout
from unlearnkit.engine.combined import CombinedForCausalLM
from unlearnkit.errors import RecipeError

logger = logging.getLogger(__name__)


def choose_layout(model: Any, asked: Literal["auto", "packed", "rows"]) -> tuple[Layout, str]:
    """The layout to use, and why in a few words; the log has both.

    Raises:
        RecipeError: If ``packed`` is asked for and the model cannot take it.
    """
    layout, reason = _chosen(model, asked)
    logger.info("layout %s: %s", layout, reason)
    return layout, reason


def _chosen(model: Any, asked: Literal["auto", "packed", "rows"]) -> tuple[Layout, str]:
    reason = packed_refusal(model)
    if asked == "rows":
        return "rows", "as asked"
    if reason is None:
        return "packed", "equal prompts are computed once, without padding"
    if asked == "packed":
        raise RecipeError(
            f"model.layout: {type(model).__name__} cannot be packed: {reason}",
            hint="Set model.layout: rows (or auto).",
        )
    return "rows", reason


def packed_refusal(model: Any) -> str | None:
    """Why a model cannot take the packed layout, or None.

    The layout replaces the attention function, so the model must let it be replaced and must mix
    positions in no other way.
    """
    if isinstance(model, CombinedForCausalLM):
        return next((r for part in model.parts.values() if (r := packed_refusal(part))), None)
    if getattr(model, "reads_prompts", False):
        return "it looks at each prompt by itself"
    if getattr(model, "prepends", False):
        return "it reads examples before each row"
    config = model.config.get_text_config()
    if not getattr(model, "_supports_attention_backend", False):
        return "its attention function cannot be replaced"
    kinds = set(getattr(config, "layer_types", None) or ())
    other = kinds - {"full_attention", "sliding_attention"}
    if other:
        return f"it has {', '.join(sorted(other))} layers"
    if any(name.endswith("sinks") for name, _ in model.named_parameters()):
        return "its attention has sinks"
    if model.config.is_encoder_decoder:
        return "it is an encoder-decoder"
    return None
