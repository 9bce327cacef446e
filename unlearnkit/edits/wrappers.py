"""Models whose logits are made of those of others, as folders that load like any model."""

from __future__ import annotations

import math
from pathlib import Path

from unlearnkit.edits.output import copy_generation_config, new_folder, refuse_existing
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.composite.logit_rules import PARTS, RULES
from unlearnkit.models.composite.parts import describe_parts, with_fingerprints
from unlearnkit.models.load import load_config, load_model

Base = str | BaseModel


def offset_model(
    base: Base, small_tuned: Base, small: Base, out: str | Path, alpha: float = 1.0
) -> Path:
    """Writes ``z = z_base + alpha·(z_small_tuned − z_small)``; see `functional.offset_logits`.

    Args:
        base: The large model, which is left as it is and pointed at.
        small_tuned: The small model after unlearning; it is copied into the folder.
        small: The small model before, pointed at.
        out: The folder to write; it must not exist or be empty.
        alpha: Factor of the difference.

    Returns:
        ``out``.

    Raises:
        UserError: If a model is missing, the tokenizers differ, or ``out`` exists.
    """
    parts = {"base": base, "tuned": small_tuned, "small": small}
    return _combined("offset", {"alpha": alpha}, parts, out)


def uld_model(
    base: Base,
    assistant: Base,
    out: str | Path,
    weight: float = -0.8,
    relative_top: float = 0.01,
) -> Path:
    """Writes ``z = z_base + weight·z_assistant`` with a filter; see `functional.uld_logits`.

    Args:
        base: The model as it is, pointed at.
        assistant: The model that knows what is to be forgotten and nothing else; it is copied
            into the folder.
        out: The folder to write; it must not exist or be empty.
        weight: Below 0, to take the assistant's logits away.
        relative_top: Tokens below this part of the base's largest probability are left alone; 0
            for no filter.

    Returns:
        ``out``.

    Raises:
        UserError: As in `offset_model`.
    """
    if not 0 <= relative_top <= 1:
        raise UserError(f"--relative_top: expected 0 to 1, found {relative_top}")
    arguments = {"weight": weight, "relative_top": relative_top}
    return _combined("uld", arguments, {"base": base, "assistant": assistant}, out)


def whp_model(base: Base, reinforced: Base, out: str | Path, alpha: float = 1.0) -> Path:
    """Writes ``z = z_base − alpha·ReLU(z_reinforced − z_base)``; see `functional.whp_logits`.

    Args:
        base: The model as it is, pointed at.
        reinforced: The model trained further on the forget set, pointed at too.
        out: The folder to write; it must not exist or be empty.
        alpha: Factor of what further training raised.

    Returns:
        ``out``.

    Raises:
        UserError: As in `offset_model`.
    """
    return _combined("whp", {"alpha": alpha}, {"base": base, "reinforced": reinforced}, out)


def _combined(
    rule: str, arguments: dict[str, float], parts: dict[str, Base], out: str | Path
) -> Path:
    for name, value in arguments.items():
        if not math.isfinite(value):
            raise UserError(f"--{name}: expected a finite number, found {value}")
    target = Path(out)
    refuse_existing(target)
    named = {k: BaseModel(v) if isinstance(v, str) else v for k, v in parts.items()}
    try:
        config = describe_parts(rule, arguments, named, load_config)
        with new_folder(target) as folder:
            own = RULES[rule].own
            if own is not None:
                # As it is stored, which for an adapter is merged.
                kept = load_model(BaseModel(named[own].path, dtype="auto"))
                kept.save_pretrained(folder / PARTS / own)
            load_tokenizer(named["base"]).save_pretrained(folder)
            copy_generation_config(named["base"], folder)
            with_fingerprints(config, folder).save_pretrained(folder)
    except RecipeError as error:
        message = error.message.removeprefix("model.base: ")
        raise UserError(message, title="edit", hint=error.hint) from error
    return target
