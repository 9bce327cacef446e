"""Loads the model to be trained and puts an adapter on it."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, GgufConfig, PreTrainedModel

from unlearnkit.errors import RecipeError
from unlearnkit.models.adapter import plain_config, start_of
from unlearnkit.models.adapter_init import begin_as_in_peft
from unlearnkit.models.base import (
    BaseModel,
    as_base_model,
    from_pretrained_arguments,
    reading,
)
from unlearnkit.models.digests import refuse_changed
from unlearnkit.models.finite import refuse_not_finite
from unlearnkit.models.headers import refuse_impossible
from unlearnkit.models.loaded import LoadedModel
from unlearnkit.models.quantized import keep_differentiable, quantization_config
from unlearnkit.models.whole import load_adapter, load_whole
from unlearnkit.plain import load_yaml

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

Policy = PreTrainedModel | PeftModel
OFFSET = "offset"
"""Type of a composite model that has no folder yet: a `BaseModel` with an offset."""


class Loader(NamedTuple):
    """Loading of one type of composite model."""

    model: Callable[[BaseModel], PreTrainedModel]
    config: Callable[[BaseModel], PreTrainedConfig] | None = None
    """By default the config is read from the folder."""


_loaders: dict[str, Loader] = {}


def register(
    model_type: str,
    model: Callable[[BaseModel], PreTrainedModel],
    config: Callable[[BaseModel], PreTrainedConfig] | None = None,
) -> None:
    """Registers how a type of composite model is loaded.

    Args:
        model_type: The type, as ``config.json`` of its folder has it.
        model: Loads it.
        config: Makes its config; by default it is read from the folder.
    """
    _loaders[model_type] = Loader(model, config)


def composite_loader(resolved: BaseModel) -> Loader | None:
    """How a composite model is loaded; None for other models."""
    # Its files register themselves; none of them is imported by name here.
    import_module("unlearnkit.models.composite")
    kind: str | None = OFFSET
    if resolved.offset is None:
        file = Path(resolved.path) / "config.json"
        if not file.is_file():
            return None
        try:
            kind = json.loads(file.read_text(encoding="utf-8")).get("model_type")
        except (ValueError, AttributeError, RecursionError) as error:
            raise RecipeError(f"model.base: {file} is no JSON object: {error}") from error
    return _loaders.get(kind) if isinstance(kind, str) else None


def load_model(base: str | BaseModel) -> PreTrainedModel:
    """The model as a plain transformers model, in eval mode; of one in memory a copy.

    A folder that holds an adapter gives its base model with the adapter merged in, so that a run
    can start from an earlier LoRA run. A base in 4 or 8 bits is dequantised for that, so that the
    merged model computes what the run trained.

    Raises:
        RecipeError: If there is no model there, it has no safetensors weights, or some of them
            are missing, not finite or no longer what was written.
    """
    resolved = as_base_model(base)
    if isinstance(resolved, LoadedModel):
        return resolved.copied()
    refuse_changed(resolved.path)
    if loader := composite_loader(resolved):
        return loader.model(BaseModel(base) if isinstance(base, str) else base)
    if is_adapter(resolved):
        return _load_merged(resolved)
    arguments = from_pretrained_arguments(resolved)
    if resolved.first_blocks is not None:
        arguments["config"] = load_config(resolved)
    if resolved.gguf_file:
        # Without dequantize the weights could not be trained or saved.
        arguments["quantization_config"] = GgufConfig(dequantize=True)
    else:
        arguments["use_safetensors"] = True
    if resolved.quantization:
        arguments["quantization_config"] = quantization_config(resolved)
    if resolved.attn_implementation:
        arguments["attn_implementation"] = resolved.attn_implementation
    refuse_impossible(arguments.get("config") or load_config(resolved), resolved)
    model = load_whole(
        AutoModelForCausalLM,
        resolved,
        cut=resolved.first_blocks is not None,
        dtype=_dtype(resolved.dtype),
        **arguments,
    )
    refuse_not_finite(model, resolved.path)
    keep_differentiable(model)
    return model


def load_config(base: str | BaseModel) -> PreTrainedConfig:
    """The model's config alone; no weights are read.

    Raises:
        RecipeError: If there is no model there.
    """
    resolved = as_base_model(base)
    if isinstance(resolved, LoadedModel):
        return resolved.model.config
    refuse_changed(resolved.path, configs_only=True)
    if (loader := composite_loader(resolved)) and loader.config:
        return loader.config(BaseModel(base) if isinstance(base, str) else base)
    if is_adapter(resolved):
        config = load_config(adapter_base(resolved))
    else:
        with reading(resolved):
            given = from_pretrained_arguments(resolved)
            config = AutoConfig.from_pretrained(resolved.path, **given)
    return config if resolved.first_blocks is None else _cut(config, resolved.first_blocks)


def add_adapter(model: PreTrainedModel, lora: LoraConfig) -> PeftModel:
    """The model with a new adapter, which does not change its output; all else is frozen.

    An adapter with the initialisation FILA is a no-op until `begin_by_importance` fills it.

    Raises:
        RecipeError: If the targets do not exist, or do not support the initialisation.
    """
    _refuse_what_peft_would_skip(model, lora)
    try:
        peft_model = get_peft_model(model, plain_config(lora))
    except ValueError as error:
        raise RecipeError(f"model.lora: {error}") from error
    assert isinstance(peft_model, PeftModel)
    start = start_of(lora)
    if start in ("pissa", "olora"):
        begin_as_in_peft(peft_model, start, getattr(lora, "svd_iterations", None))
    return peft_model


def _refuse_what_peft_would_skip(model: PreTrainedModel, lora: LoraConfig) -> None:
    """Raises a RecipeError for modules and tokens that the model does not have."""
    names = [name for name, _ in model.named_modules()]
    wanted = lora.modules_to_save or ()
    if lacking := [each for each in wanted if not any(name.endswith(each) for name in names)]:
        raise RecipeError(
            f"model.lora.modules_to_save: no module of the model is named {', '.join(lacking)}"
        )
    given: Any = lora.trainable_token_indices or []
    tokens = [t for part in given.values() for t in part] if isinstance(given, dict) else given
    size = int(model.get_input_embeddings().weight.shape[0])  # pyright: ignore
    if beyond := [token for token in tokens if not 0 <= token < size]:
        raise RecipeError(
            f"model.lora.trainable_token_indices: expected ids of 0 to {size - 1}, found "
            f"{', '.join(map(str, beyond))}"
        )


def _cut(config: PreTrainedConfig, blocks: int) -> PreTrainedConfig:
    """The config of the model's first blocks; lists that have an entry a block are cut too."""
    text = config.get_text_config()
    whole = text.num_hidden_layers
    if not 1 <= blocks <= whole:
        raise RecipeError(f"first_blocks: expected 1 to {whole}, found {blocks}")
    for name, value in text.to_dict().items():
        if isinstance(value, list) and len(value) == whole:
            setattr(text, name, value[:blocks])
    text.num_hidden_layers = blocks
    return config


def is_adapter(resolved: BaseModel) -> bool:
    """Whether a folder holds an adapter, which is merged into its base when it is loaded."""
    return (Path(resolved.path) / "adapter_config.json").is_file()


def adapter_base(resolved: BaseModel) -> BaseModel:
    """The model that an adapter's folder belongs to.

    Raises:
        RecipeError: If neither the adapter nor its run names one, or it stands on itself.
    """
    found = _named_base(resolved)
    seen, below = {Path(resolved.path).resolve()}, found.resolved()
    while Path(below.path, "adapter_config.json").is_file():
        if Path(below.path).resolve() in seen:
            raise RecipeError(
                f"model.base: the adapter in {resolved.path} names itself as its base",
                hint="Set base_model_name_or_path in its adapter_config.json.",
            )
        seen.add(Path(below.path).resolve())
        below = _named_base(below).resolved()
    return found


def _named_base(resolved: BaseModel) -> BaseModel:
    """The model that an adapter, or its run, names."""
    recipe = Path(resolved.path).parent / "recipe.yaml"
    if recipe.is_file():
        # The run's own recipe knows more of its base than the adapter does, such as a GGUF file.
        with reading(resolved, "adapter"):
            sections = load_yaml(recipe.read_text(encoding="utf-8")) or {}
            if named := sections.get("model", {}).get("base"):
                return replace(BaseModel.from_recipe(named), dtype=resolved.dtype)
    with reading(resolved, "adapter"):
        config = PeftConfig.from_pretrained(resolved.path)
    if not isinstance(config.base_model_name_or_path, str) or not config.base_model_name_or_path:
        raise RecipeError(f"model.base: the adapter in {resolved.path} does not name its base")
    return BaseModel(
        config.base_model_name_or_path,
        dtype=resolved.dtype,
        trust_remote_code=resolved.trust_remote_code,
    )


def _load_merged(resolved: BaseModel) -> PreTrainedModel:
    named = adapter_base(resolved)
    if resolved.attn_implementation:
        named = replace(named, attn_implementation=resolved.attn_implementation)
    base = load_model(named)
    if named.quantization:
        base = base.dequantize(_dtype(named.dtype) if named.dtype != "auto" else None)
    adapted = load_adapter(base, Path(resolved.path), "default")
    with reading(resolved, "adapter"):
        merged = adapted.merge_and_unload()
    assert isinstance(merged, PreTrainedModel)
    refuse_not_finite(merged, resolved.path)
    if resolved.first_blocks is not None:
        merged = _first_blocks(merged, resolved.first_blocks)
    # PEFT froze the base weights, and merging does not undo that.
    return merged.requires_grad_(True)


def _first_blocks(model: PreTrainedModel, blocks: int) -> PreTrainedModel:
    """A model of its own of the first blocks and the head; an adapter is on all until merged."""
    made: Any = type(model)(_cut(copy.deepcopy(model.config), blocks))
    made.to(model.dtype)
    kept = made.state_dict().keys()
    made.load_state_dict({name: each for name, each in model.state_dict().items() if name in kept})
    made.generation_config = model.generation_config
    return made.eval()


def _dtype(name: str) -> torch.dtype | str:
    return name if name == "auto" else getattr(torch, name)
