"""Describes models with corrupted prompts and loads them from their folders."""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedConfig

from unlearnkit.models.base import BaseModel, as_base_model, load_tokenizer
from unlearnkit.models.composite.classifiers import (
    PromptClassifier,
    TokenClassifier,
    load_prompt_classifier,
    load_token_classifier,
)
from unlearnkit.models.composite.corrupted import (
    CLASSIFIER,
    TOKENS,
    CorruptedConfig,
    CorruptedForCausalLM,
)
from unlearnkit.models.composite.parts import (
    fields_around,
    load_part,
    use_own_generation_config,
)
from unlearnkit.models.load import load_model, register


def describe_corrupted(
    base: BaseModel,
    config: PreTrainedConfig,
    classifier: str | None = None,
    tokens: str | None = None,
    **given: Any,
) -> CorruptedConfig:
    """The config of a model with corrupted prompts.

    Args:
        base: The model below.
        config: Its config.
        classifier: Folder or hub id of a prompt classifier, if no regression decides.
        tokens: Folder or hub id of a token classifier.
        **given: Regression and corruption, as of `CorruptedConfig`.
    """
    named = {CLASSIFIER: classifier, TOKENS: tokens}
    parts = {"base": base} | {key: BaseModel(each) for key, each in named.items() if each}
    return CorruptedConfig(**fields_around(config, CorruptedForCausalLM, **parts), **given)


def load_corrupted(base: BaseModel) -> CorruptedForCausalLM:
    """A model with corrupted prompts from its folder.

    Raises:
        RecipeError: If the base or a classifier is missing or has changed.
    """
    resolved = as_base_model(base)
    config: Any = CorruptedConfig.from_pretrained(resolved.path)
    below = load_part(config, "base", resolved, load_model)
    prompts = load_tokenizer(resolved)

    def classifier_of(part: BaseModel) -> PromptClassifier:
        return load_prompt_classifier(part, prompts, (config.before, config.after))

    def tokens_of(part: BaseModel) -> TokenClassifier:
        return load_token_classifier(part, prompts)

    model = CorruptedForCausalLM(
        config,
        below,
        load_part(config, CLASSIFIER, resolved, classifier_of)
        if CLASSIFIER in config.parts
        else None,
        load_part(config, TOKENS, resolved, tokens_of) if TOKENS in config.parts else None,
    )
    use_own_generation_config(model, resolved.path)
    return model


register(CorruptedConfig.model_type, load_corrupted)
