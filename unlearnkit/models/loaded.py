"""A model in memory as the start of runs."""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import torch
from peft import PeftModel
from transformers import PreTrainedModel

from unlearnkit.errors import RecipeError
from unlearnkit.models.base import BaseModel
from unlearnkit.models.finite import refuse_not_finite

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    ModelSource: TypeAlias = str | BaseModel | PreTrainedModel
    TokenizerSource: TypeAlias = str | BaseModel | PreTrainedTokenizerBase
else:
    ModelSource = TokenizerSource = str | BaseModel  # a recipe names models


class LoadedModel(BaseModel):
    """A model in memory. It stays as it is: each use is of a copy.

    Args:
        model: A causal language model of transformers, on any device and of any dtype.
        tokenizer: Its tokenizer.

    Raises:
        RecipeError: If it is something else, or not finite.

    Example:
        >>> from unlearnkit.models.load import load_model
        >>> LoadedModel(load_model("tiny")).path
        'LlamaForCausalLM in memory'
    """

    model: PreTrainedModel
    tokenizer: Any

    def __init__(self, model: PreTrainedModel, tokenizer: Any = None) -> None:
        if isinstance(model, PeftModel):
            raise RecipeError(
                "base: expected a model without an adapter, found one of PEFT",
                hint="Merge the adapter: model.merge_and_unload(). A new one is model.lora.",
            )
        if not isinstance(model, PreTrainedModel):
            raise RecipeError(
                "base: expected a name, a folder, a BaseModel or a model of transformers, found "
                f"{type(model).__name__}"
            )
        super().__init__(f"{type(model).__name__} in memory", quantization=_bits(model))
        refuse_not_finite(model, self.path)
        object.__setattr__(self, "model", model)
        object.__setattr__(self, "tokenizer", tokenizer)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LoadedModel) and other.model is self.model

    def __hash__(self) -> int:
        return id(self.model)

    def __deepcopy__(self, memo: dict[int, Any]) -> LoadedModel:
        return self

    def resolved(self) -> LoadedModel:
        """Itself: there is no name to resolve."""
        return self

    def own_tokenizer(self) -> Any:
        """The tokenizer that it was given with.

        Raises:
            RecipeError: If there was none.
        """
        if self.tokenizer is None:
            raise RecipeError(f"tokenizer: expected the one of {self.path}, found none")
        return self.tokenizer

    def copied(self) -> PreTrainedModel:
        """A copy of the model in eval mode."""
        return copy.deepcopy(self.model).eval()

    def fingerprint(self) -> str:
        """Digest of its config and weights, as they are now."""
        digest = hashlib.sha256(self.model.config.to_json_string().encode())
        for name, tensor in sorted(self.model.state_dict().items()):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
        return f"sha256:{digest.hexdigest()[:16]}"


def as_source(base: ModelSource) -> str | BaseModel:
    """A model's name or description as it is; a model in memory as a description.

    Raises:
        RecipeError: If it is neither.
    """
    return base if isinstance(base, str | BaseModel) else LoadedModel(base)


def _bits(model: PreTrainedModel) -> Literal["4bit", "8bit"] | None:
    if getattr(model, "is_loaded_in_4bit", False):
        return "4bit"
    return "8bit" if getattr(model, "is_loaded_in_8bit", False) else None
