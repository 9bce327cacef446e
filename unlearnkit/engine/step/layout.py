"""Chooses the layout that a model supports."""

from __future__ import annotations

import logging
from typing import Any, Literal, NamedTuple

from unlearnkit.data.pack import Layout
from unlearnkit.engine.step.attention_choice import where_it_runs
from unlearnkit.engine.step.probe import Findings, examine
from unlearnkit.errors import RecipeError
from unlearnkit.models.composite.logits import CombinedForCausalLM

logger = logging.getLogger(__name__)


def choose_layout(model: Any, asked: Literal["auto", "packed", "rows"]) -> tuple[Layout, str]:
    """The layout to use, and why in a few words; the log has both.

    Raises:
        RecipeError: If ``packed`` is asked for and the model cannot take it.
    """
    layout, reason = _chosen(model, asked)
    logger.info("layout %s: %s", layout, reason)
    return layout, reason


class Layouts(NamedTuple):
    """How the rows of a model are laid out."""

    whole: Layout
    """What the model is prepared for; it can take rows as well."""
    steps: Layout | Literal["auto"]
    """What a packer makes of the rows of a step."""
    reason: str


def layouts_of(
    model: Any,
    asked: Literal["auto", "packed", "rows"],
    trainer: Any = None,
    compiled: bool = False,
) -> Layouts:
    """The layout to use, that of single steps, and why.

    A step whose rows have one length and no prompt in common gains nothing by packing. As rows it
    is a few per cent faster on a CPU. On a GPU a packed row is one call of attention, and compiled
    blocks would be compiled once more, so both stay with it.

    Raises:
        RecipeError: As `choose_layout` does.
    """
    layout, reason = choose_layout(model, asked)
    device, _ = where_it_runs(model, trainer)
    if asked != "auto" or layout == "rows" or compiled or device.type != "cpu":
        return Layouts(layout, layout, reason)
    return Layouts(
        layout, "auto", f"{reason}; a step with neither padding nor equal prompts is run in rows"
    )


def _chosen(model: Any, asked: Literal["auto", "packed", "rows"]) -> tuple[Layout, str]:
    declared = declared_refusal(model)
    together, packed = _examined(model, packed=asked != "rows" and declared is None)
    if together is not None:
        raise RecipeError(
            f"model.base: {type(model).__name__} cannot be trained on rows: {together}",
            hint="A causal language model is needed, in which no token depends on later ones "
            "(of BERT and its like: is_decoder: true in config.json).",
        )
    if asked == "rows":
        return "rows", "as asked"
    reason = declared or packed
    if reason is None:
        return "packed", "equal prompts are computed once, without padding"
    if asked == "packed":
        raise RecipeError(
            f"model.layout: {type(model).__name__} cannot be packed: {reason}",
            hint="Set model.layout: rows (or auto).",
        )
    return "rows", reason


def _examined(model: Any, packed: bool) -> Findings:
    """The first fault of a model, or of one of its parts."""
    if getattr(model, "reads_prompts", False) or getattr(model, "prepends", False):
        return Findings(None, None)  # not trained; what they add is a matter of each row alone
    parts = model.parts.items() if isinstance(model, CombinedForCausalLM) else ()
    for name, part in parts:
        for fault, value in examine(part, packed)._asdict().items():
            if value is not None:
                return Findings(None, None)._replace(**{fault: f"of its part '{name}', {value}"})
    return Findings(None, None) if parts else examine(model, packed)


def packed_refusal(model: Any) -> str | None:
    """Why a model cannot take the packed layout, or None.

    The layout replaces the attention function, so the model must let it be replaced and must mix
    positions in no other way. The check reads what a model declares, then runs it.
    """
    return declared_refusal(model) or _examined(model, packed=True).packed


def declared_refusal(model: Any) -> str | None:
    """Why a model cannot take the packed layout by its own config, or None."""
    if isinstance(model, CombinedForCausalLM):
        return next((r for part in model.parts.values() if (r := declared_refusal(part))), None)
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
