"""Writes composite models that combine the logits of their parts."""

from __future__ import annotations

from pathlib import Path

from unlearnkit.edits.base import Model, as_edit, as_model, refuse_infinite
from unlearnkit.edits.output import copy_generation_config
from unlearnkit.files import refuse_occupied
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.composite.base import PARTS
from unlearnkit.models.composite.logit_rules import RULES
from unlearnkit.models.composite.logits_folder import describe_parts
from unlearnkit.models.composite.parts import with_fingerprints
from unlearnkit.models.digests import whole_model_folder
from unlearnkit.models.load import load_model


def write_combined(
    rule: str, arguments: dict[str, float], parts: dict[str, Model], out: str | Path
) -> Path:
    """Writes the folder of a composite model.

    Args:
        rule: How the logits are combined; one of `RULES`.
        arguments: Of the rule.
        parts: The models by name. The rule's trained component is copied; others are pointed at.
        out: The folder to write; it must not exist or be empty.

    Raises:
        UserError: If a model is missing, the tokenizers differ, or ``out`` exists.
    """
    refuse_infinite(**arguments)
    target = Path(out)
    refuse_occupied(target)
    named = {name: as_model(part) for name, part in parts.items()}
    with as_edit():
        config = describe_parts(rule, arguments, named)
        with whole_model_folder(target) as folder:
            own = RULES[rule].own
            if own is not None:
                # As it is stored, which for an adapter is merged.
                kept = load_model(BaseModel(named[own].path, dtype="auto"))
                kept.save_pretrained(folder / PARTS / own)
            load_tokenizer(named["base"]).save_pretrained(folder)
            copy_generation_config(named["base"], folder)
            with_fingerprints(config, folder).save_pretrained(folder)
    return target
