"""Describes gated models and loads them from their folders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from peft import PeftModel
from transformers import PreTrainedConfig, PreTrainedModel

from unlearnkit.models.base import BaseModel, as_base_model, load_tokenizer
from unlearnkit.models.composite.base import PARTS
from unlearnkit.models.composite.detector import load_detector
from unlearnkit.models.composite.encoder import TextEncoder, load_encoder
from unlearnkit.models.composite.gated import DETECTOR, GatedConfig, GatedForCausalLM
from unlearnkit.models.composite.parts import (
    fields_around,
    load_part,
    use_own_generation_config,
)
from unlearnkit.models.load import load_model, register
from unlearnkit.models.whole import load_adapter


def describe_gated(
    base: BaseModel,
    config: PreTrainedConfig,
    adapters: Sequence[str],
    encoder: str | None = None,
    **gate: Any,
) -> GatedConfig:
    """The config of a gated model.

    Args:
        base: The model that the adapters belong to.
        config: Its config.
        adapters: Names of the requests.
        encoder: What detectors see prompts through, if not the base.
        **gate: ``score``, ``layers``, ``gate`` and ``threshold`` of `GatedConfig`.
    """
    parts = {"base": base} | ({} if encoder is None else {"encoder": BaseModel(encoder)})
    fields = fields_around(config, GatedForCausalLM, **parts)
    return GatedConfig(adapters=list(adapters), **fields, **gate)


def with_adapters(base: PreTrainedModel, folders: dict[str, Path]) -> PeftModel:
    """The base with several adapters, none of which is trained."""
    (first, folder), *others = folders.items()
    model = load_adapter(base, folder, first)
    for name, each in others:
        load_adapter(model, each, name)
    return model.requires_grad_(False)


def load_gated(base: BaseModel) -> GatedForCausalLM:
    """A gated model from its folder.

    Raises:
        RecipeError: If base or encoder is missing or has changed.
    """
    resolved = as_base_model(base)
    config: Any = GatedConfig.from_pretrained(resolved.path)
    below = load_part(config, "base", resolved, load_model)
    own = Path(resolved.path) / PARTS
    detectors = {
        name: load_detector(own / name / DETECTOR, config.score) for name in config.adapters
    }
    adapted = with_adapters(below, {name: own / name for name in config.adapters})
    encoder = None
    if "encoder" in config.parts:

        def load_it(part: BaseModel) -> TextEncoder:
            return load_encoder(part.path, load_tokenizer(resolved))

        encoder = load_part(config, "encoder", resolved, load_it)
    model = GatedForCausalLM(config, adapted, detectors, encoder)
    use_own_generation_config(model, resolved.path)
    return model


register(GatedConfig.model_type, load_gated)
