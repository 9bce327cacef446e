"""Remembers which folder a live model was read from, or written to."""

from __future__ import annotations

from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from torch import nn

from unlearnkit.errors import RecipeError
from unlearnkit.models.base import BaseModel, as_base_model
from unlearnkit.models.load import composite_loader, is_adapter
from unlearnkit.models.loaded import LoadedModel

Model = TypeVar("Model", bound=nn.Module)
_State = tuple[tuple[int, int], ...]
_folders: WeakKeyDictionary[nn.Module, tuple[BaseModel, _State]] = WeakKeyDictionary()


def saved_as(model: Model, base: str | BaseModel) -> Model:
    """Notes that a live model is the one in a folder, as it is now.

    Args:
        model: The live model.
        base: Where it was read from or written to.

    Returns:
        The model.
    """
    _folders[model] = (as_base_model(base), _state(model))
    return model


def saved_model(model: nn.Module) -> BaseModel:
    """The folder of a live model.

    Raises:
        RecipeError: If none is known, or the model has been changed since.
    """
    found, state = _folders.get(model, (None, ()))
    if found is None or state != _state(model):
        what = "is in no folder" if found is None else "has changed since it was read or saved"
        raise RecipeError(
            f"generation.backend: vllm reads models from folders, and this one {what}",
            hint="Set generation.backend: hf or continuous, which run the live model.",
        )
    return found


def refuse_unreadable(base: str | BaseModel, key: str = "model.base") -> None:
    """Refuses a model that vLLM cannot read as it is; no weights are read.

    Args:
        base: The model.
        key: What it is called in a recipe.

    Raises:
        RecipeError: With what it is.

    Example:
        >>> refuse_unreadable("tiny")
        >>> refuse_unreadable(BaseModel("tiny", quantization="4bit"))
        Traceback (most recent call last):
        unlearnkit.errors.RecipeError: generation.backend: vllm: model.base is quantised as it ...
    """
    resolved = as_base_model(base)
    reason, hint = None, "Set generation.backend: hf."
    if isinstance(resolved, LoadedModel):
        reason = "is a model in memory, and vLLM reads a folder"
    elif composite_loader(resolved) is not None:
        reason = "is a composite model, which vLLM does not know"
    elif is_adapter(resolved):
        reason = "is an adapter, and vLLM reads a whole model"
        hint = "Merge it first: unlearnkit export RUN --merge."
    elif resolved.gguf_file is not None:
        reason = "is a GGUF file, and vLLM reads a folder of safetensors"
    elif resolved.quantization is not None:
        reason = "is quantised as it is loaded, and vLLM would read its whole weights"
    elif resolved.first_blocks is not None:
        reason = "is the first blocks of a model, and vLLM would read all"
    if reason is not None:
        raise RecipeError(f"generation.backend: vllm: {key} {reason}", hint=hint)


def _state(model: Any) -> _State:
    """Identity and number of changes of each weight."""
    return tuple((id(each), each._version) for each in model.parameters())
