"""Loads models that combine logits, from a folder or from an offset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from unlearnkit.errors import Problem, RecipeError
from unlearnkit.models.base import BaseModel, as_base_model, load_tokenizer
from unlearnkit.models.composite.base import CompositeConfig
from unlearnkit.models.composite.logit_rules import RULES, CombinedConfig
from unlearnkit.models.composite.logits import CombinedForCausalLM
from unlearnkit.models.composite.parts import (
    load_part,
    pointer_to,
    use_own_generation_config,
)
from unlearnkit.models.fingerprint import tokenizer_fingerprint
from unlearnkit.models.load import OFFSET, load_config, load_model, register


def describe_parts(
    rule: str, arguments: dict[str, float], parts: Mapping[str, BaseModel]
) -> CombinedConfig:
    """The config of a model that combines logits; no weights are read.

    Args:
        rule: A key of `RULES`.
        arguments: Of the rule.
        parts: The models by name.

    Raises:
        RecipeError: If a part is missing or a composite model itself, or the tokenizers differ.
    """
    configs = {name: load_config(part).get_text_config() for name, part in parts.items()}
    _refuse_composite(parts, configs)
    tokenizers = {name: load_tokenizer(part) for name, part in parts.items()}
    refuse_other_tokenizers(parts, tokenizers)
    vocabulary = min(config.vocab_size for config in configs.values())
    size = len(tokenizers["base"])
    if vocabulary < size:
        smallest = min(configs, key=lambda name: configs[name].vocab_size)
        raise RecipeError(
            f"{parts[smallest].path}: its head has {vocabulary} tokens, and the tokenizer {size}"
        )
    longest = [getattr(each, "max_position_embeddings", None) for each in configs.values()]
    trained = configs[RULES[rule].own or "base"]
    base = configs["base"]
    return CombinedConfig(
        rule=rule,
        arguments=arguments,
        parts={name: pointer_to(part) for name, part in parts.items()},
        vocab_size=vocabulary,
        num_hidden_layers=trained.num_hidden_layers,
        max_position_embeddings=min((n for n in longest if n), default=None),
        architectures=[CombinedForCausalLM.__name__],
        bos_token_id=base.bos_token_id,
        eos_token_id=base.eos_token_id,
        pad_token_id=base.pad_token_id,
    )


def _refuse_composite(parts: Mapping[str, BaseModel], configs: Mapping[str, Any]) -> None:
    """Refuses parts that have several output heads, or look at a prompt by themselves."""
    found = [
        f"{parts[name].path} ({name}): expected a plain model, found a composite model"
        for name, config in configs.items()
        if isinstance(config, CompositeConfig)
    ]
    if found:
        raise RecipeError("\n".join(found), hint="Name the plain model that it was made from.")


def refuse_other_tokenizers(parts: Mapping[str, BaseModel], tokenizers: Mapping[str, Any]) -> None:
    """Raises unless all parts have the base's tokenizer.

    Raises:
        RecipeError: With every part whose tokenizer is another one.
    """
    expected = tokenizer_fingerprint(tokenizers["base"])
    found = [
        str(
            Problem(
                f"{parts[name].path} ({name})", None, "tokenizer",
                f"another one ({len(tokenizer)} tokens)",
                f"that of {parts['base'].path} ({len(tokenizers['base'])} tokens)",
            )
        )
        for name, tokenizer in tokenizers.items()
        if tokenizer_fingerprint(tokenizer) != expected
    ]  # fmt: skip
    if found:
        raise RecipeError(
            "\n".join(found), hint="Logits of two models can be added only token by token."
        )


def load_combined(base: BaseModel) -> CombinedForCausalLM:
    """A model that combines logits, from its folder.

    Raises:
        RecipeError: If a model that it points at is missing or has changed.
    """
    resolved = as_base_model(base)
    config = CombinedConfig.from_pretrained(resolved.path)
    assert isinstance(config, CombinedConfig)
    names = RULES[config.rule].parts
    parts = {name: load_part(config, name, resolved, load_model) for name in names}
    model = CombinedForCausalLM(config, parts)
    use_own_generation_config(model, resolved.path)
    return model


def offset_config(base: BaseModel) -> CombinedConfig:
    """The config of a model with an `Offset`."""
    assert base.offset is not None
    return describe_parts("offset", {"alpha": base.offset.alpha}, _offset_parts(base))


def load_offset(base: BaseModel) -> CombinedForCausalLM:
    """A model with an `Offset`: the small model is in it twice, as trained and as it was."""
    config = offset_config(base)
    parts = {name: load_model(part) for name, part in _offset_parts(base).items()}
    return CombinedForCausalLM(config, parts)


def _offset_parts(base: BaseModel) -> dict[str, BaseModel]:
    assert base.offset is not None
    small = BaseModel(
        base.offset.small,
        dtype=base.dtype,
        attn_implementation=base.attn_implementation,
        first_blocks=base.offset.first_blocks,
    )
    return {"base": replace(base, offset=None), "tuned": small, "small": small}


register(CombinedConfig.model_type, load_combined)
register(OFFSET, load_offset, offset_config)
