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
from unlearnkit.models.composite.gated import DETECTOR, ENCODER, GatedConfig, GatedForCausalLM
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
    encoders: Sequence[str] = (),
    **gate: Any,
) -> GatedConfig:
    """The config of a gated model.

    Args:
        base: The model that the adapters belong to.
        config: Its config.
        adapters: Names of the requests.
        encoders: What detectors see prompts through, if not the base: one for all, or one for each
            of the adapters.
        **gate: ``score``, ``layers``, ``gate`` and ``threshold`` of `GatedConfig`.
    """
    one = len(encoders) == 1
    names = [ENCODER] if one else [f"{ENCODER}_{name}" for name in adapters if encoders]
    own = {name: BaseModel(each) for name, each in zip(names, encoders, strict=True)}
    parts = {"base": base} | own
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

    def load_it(part: BaseModel) -> TextEncoder:
        return load_encoder(part.path, load_tokenizer(resolved))

    own_names = {each: f"{ENCODER}_{each}" for each in config.adapters}
    encoder: Any = None
    if ENCODER in config.parts:
        encoder = load_part(config, ENCODER, resolved, load_it)
    elif any(name in config.parts for name in own_names.values()):
        encoder = {
            each: load_part(config, name, resolved, load_it) for each, name in own_names.items()
        }
    model = GatedForCausalLM(config, adapted, detectors, encoder)
    use_own_generation_config(model, resolved.path)
    return model


register(GatedConfig.model_type, load_gated)
