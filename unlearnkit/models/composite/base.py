"""Base classes of composite models and their configs."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig, PreTrainedModel

from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model

PARTS = "parts"
"""Folder of the parts that are saved with a composite model, below the model's own."""
_ADDED = {
    "adapter_kwargs", "cache_dir", "config", "force_download", "local_files_only", "proxies",
    "revision", "subfolder", "token", "trust_remote_code", "use_safetensors", "weights_only",
}  # fmt: skip
"""Arguments of loading that play no part for a folder, or hold in any case."""


class CompositeConfig(PreTrainedConfig):
    """Config of a composite model.

    Args:
        parts: Where each part is: ``path`` and the like, and ``fingerprint``.
        vocab_size: Tokens that all parts know.
        num_hidden_layers: Decoder blocks of the trained component, else of the base.
        max_position_embeddings: Longest sequence of all parts.
        **kwargs: As in transformers.
    """

    instead: ClassVar[str | None] = None
    """Hint for a model without a trained component: what to do instead of training."""

    def __init__(
        self,
        parts: dict[str, dict[str, Any]] | None = None,
        vocab_size: int = 0,
        num_hidden_layers: int = 0,
        max_position_embeddings: int | None = None,
        **kwargs: Any,
    ) -> None:
        self.parts = parts or {}
        self.vocab_size, self.num_hidden_layers = vocab_size, num_hidden_layers
        self.max_position_embeddings = max_position_embeddings
        kwargs["tie_word_embeddings"] = False
        super().__init__(**kwargs)

    made_by: ClassVar[str]
    """Name of the edit that makes such a model; of several, `edit` says which."""
    above: ClassVar[str] = "rule"
    """What stands between the base and the answer."""
    base_is_open = False
    """Whether the base has gradients: of a model in memory alone, by `open_to_attacker`."""

    @property
    def edit(self) -> str:
        """Name of the edit that made this model."""
        return self.made_by

    @property
    def trained(self) -> str | None:
        """Name of the trained component, if there is one."""
        return None

    @property
    def attacked(self) -> str:
        """What an attacker trains: the trained component, else the base."""
        return f"the {self.trained or f'base below the {self.above}'}"

    @property
    def saved(self) -> tuple[str, ...]:
        """Names of the parts that are saved in the model's folder."""
        return () if self.trained is None else (self.trained,)


class CompositeModel:
    """Loading of a composite model by ``from_pretrained``, and saving without ignored arguments."""

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        dtype: str | torch.dtype = "auto",
        attn_implementation: str | None = None,
        **given: Any,
    ) -> Self:
        """A model from its folder and those that it points at.

        Args:
            pretrained_model_name_or_path: The folder.
            dtype: Dtype of the parts; ``auto`` is the one that each is stored in.
            attn_implementation: As in transformers, of every part.
            **given: What `AutoModelForCausalLM` adds by itself; nothing else is accepted.

        Raises:
            RecipeError: If a part is missing or has changed.
            TypeError: For an argument that would be ignored.
        """
        if ignored := sorted(name for name in given.keys() - _ADDED if given[name] is not None):
            raise TypeError(f"a composite model is loaded without {', '.join(ignored)}")
        name: Any = str(dtype).removeprefix("torch.")
        folder = str(pretrained_model_name_or_path)
        model: Any = load_model(BaseModel(folder, None, None, name, False, attn_implementation))
        assert isinstance(model, cls)
        return model


class OnBase(CompositeModel):
    """A composite model around one base, whose embeddings it shares."""

    base: PreTrainedModel
    config: Any
    generation_config: Any

    def save_pretrained(self, save_directory: str | Path, **given: Any) -> None:
        """Writes the config, which says where the base is and what stands above it.

        Raises:
            TypeError: For an argument that would be ignored.
        """
        refuse_ignored(self, given)
        self.config.save_pretrained(save_directory)
        self.generation_config.save_pretrained(save_directory)

    def open_base(self) -> None:
        """Gives the base gradients."""
        self.base.requires_grad_(True)

    def placed(self, position_ids: Tensor | None) -> dict[str, Tensor]:
        """Positions as an argument of the base; none where it takes none, or none are given.

        ``generate`` gives those of left-padded rows to a model whose ``forward`` names them.
        """
        takes = "position_ids" in inspect.signature(self.base.forward).parameters
        return {"position_ids": position_ids} if takes and position_ids is not None else {}

    def get_input_embeddings(self) -> nn.Module:
        """Those of the base."""
        return self.base.get_input_embeddings()

    def get_output_embeddings(self) -> Any:
        """The base's head."""
        return self.base.get_output_embeddings()

    def set_attn_implementation(self, *args: Any, **kwargs: Any) -> None:
        """Sets that of the base."""
        self.base.set_attn_implementation(*args, **kwargs)


def open_to_attacker(model: Any) -> None:
    """Gives the base of a composite model gradients, if the model has no trained component.

    Whoever holds the files of such a model holds its base too. What `save_pretrained` writes of it
    stays what it was: the base's new weights are in memory alone.
    """
    config = model.config
    if isinstance(config, CompositeConfig) and config.trained is None:
        config.base_is_open = True
        model.open_base()


def refuse_ignored(model: object, given: dict[str, Any]) -> None:
    """Refuses arguments of ``save_pretrained`` that would be ignored.

    Raises:
        TypeError: With their names.
    """
    if ignored := sorted(given.keys() - {"state_dict", "max_shard_size"}):
        raise TypeError(f"{type(model).__name__} is saved without {', '.join(ignored)}")
