"""Models on no device, whose weights are counted, not read."""

from __future__ import annotations

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedModel

from unlearnkit.errors import RecipeError
from unlearnkit.models.adapter import plain_config
from unlearnkit.models.base import BaseModel, as_base_model, from_pretrained_arguments, reading
from unlearnkit.models.load import composite_loader, load_config


def model_on_no_device(base: str | BaseModel) -> PreTrainedModel:
    """A model whose weights have shapes and no values; ``config.json`` is enough for it.

    Raises:
        RecipeError: If there is no config, or the model is a composite one.

    Example:
        >>> model_on_no_device("tiny").num_parameters() > 100_000
        True
    """
    resolved = as_base_model(base)
    if composite_loader(resolved):
        raise RecipeError(
            f"model.base: {resolved.path} is a composite model, whose parts are not counted here",
            hint="Give the model that is trained.",
        )
    config = load_config(resolved)
    code = from_pretrained_arguments(resolved).get("trust_remote_code", False)
    with reading(resolved), torch.device("meta"):
        return AutoModelForCausalLM.from_config(config, trust_remote_code=code)


def adapter_weights(model: PreTrainedModel, lora: LoraConfig) -> int:
    """Weights of an adapter on a model, which it is put on.

    Raises:
        RecipeError: If the targets do not exist.
    """
    try:
        adapted = get_peft_model(model, plain_config(lora))
    except ValueError as error:
        raise RecipeError(f"model.lora: {error}") from error
    return sum(p.numel() for p in adapted.parameters() if p.requires_grad)
