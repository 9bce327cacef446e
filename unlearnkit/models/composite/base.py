"""What models have in common that add something to one base model below them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from torch import nn
from transformers import PreTrainedModel

from unlearnkit.models.composite.logits import load_folder


class OnBase:
    """Loading from a folder that points at the base, and the base's embeddings and attention."""

    base: PreTrainedModel

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **given: Any) -> Self:
        """A model from its folder and the base that it points at; as of combined models."""
        model = load_folder(pretrained_model_name_or_path, **given)
        assert isinstance(model, cls)
        return model

    def get_input_embeddings(self) -> nn.Module:
        """Those of the base."""
        return self.base.get_input_embeddings()

    def get_output_embeddings(self) -> Any:
        """The base's head."""
        return self.base.get_output_embeddings()

    def set_attn_implementation(self, *args: Any, **kwargs: Any) -> None:
        """Sets that of the base."""
        self.base.set_attn_implementation(*args, **kwargs)


def refuse_ignored(what: str, given: dict[str, Any]) -> None:
    """Raises for arguments of ``save_pretrained`` that would be ignored.

    Raises:
        TypeError: With their names.
    """
    if ignored := sorted(given.keys() - {"state_dict", "max_shard_size"}):
        raise TypeError(f"{what} is saved without {', '.join(ignored)}")
