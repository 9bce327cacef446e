"""Plain values of a run, as the rules read them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from peft import LoraConfig
from transformers import PreTrainedConfig

from unlearnkit.engine.reference.kinds import chosen_reference
from unlearnkit.models.adapter import changes_base, importance_of, start_of
from unlearnkit.models.base import BaseModel, as_base_model
from unlearnkit.models.composite.base import CompositeConfig

if TYPE_CHECKING:
    from unlearnkit.engine.step.checkpointing import Checkpointing
    from unlearnkit.engine.training.salun import Saliency


_OF_MODULE = (
    "base", "lora", "trainable", "saliency", "robust", "reference_kind", "reference_dtype",
    "needs", "layers", "warmup", "compiled", "gradient_checkpointing", "head_kernel",
    "max_tokens_per_micro_batch",
)  # fmt: skip


@dataclass(frozen=True)
class Values:
    """What is known of a run without its weights; what is not known yet is None."""

    base: str | BaseModel
    lora: LoraConfig | None = None
    trainable: str | Sequence[str] | None = None
    saliency: Saliency | None = None
    robust: Any = None
    """The robust method, which has a name."""
    reference_kind: Any = "auto"
    """As it was asked for: a kind, or another model."""
    reference_dtype: str | None = None
    needs: Collection[str] = ()
    layers: Collection[int] = ()
    """Decoder blocks, from 0, whose outputs an objective reads."""
    whole: Sequence[str] = ()
    """Objectives whose loss is a function of the whole batch."""
    warmup: float = 0
    compiled: bool = False
    gradient_checkpointing: bool | Checkpointing = False
    head_kernel: str = "torch"
    max_tokens_per_micro_batch: int | None = None
    config: PreTrainedConfig | None = None
    max_length: int | None = None
    """Longest sequence that the data may hold, in tokens."""
    vocabulary: int | None = None
    """Tokens of the tokenizer."""
    streams: Collection[str] | None = None
    sharded: bool = False
    """Whether weights are spread over processes by FSDP2."""
    accumulate: int = 1
    """Micro-batches of an optimiser step."""
    apart: bool = False
    """Whether they are spread in any way."""

    @classmethod
    def of(cls, module: Any, **known: Any) -> Values:
        """The arguments of an `UnlearningModule`, and what else is ``known``."""
        given = {name: getattr(module, name) for name in _OF_MODULE}
        whole = [key for key, each in module.active.items() if not each.additive]
        return cls(**{**given, "whole": whole, **known})

    @property
    def quantization(self) -> str | None:
        """Of the base."""
        return as_base_model(self.base).quantization

    @property
    def kind(self) -> str:
        """The kind of reference that is used, if one is needed."""
        return chosen_reference(self.reference_kind, self.lora)

    @property
    def start(self) -> str | None:
        """What the adapter begins with, if with a part of the weights."""
        return start_of(self.lora)

    @property
    def changing(self) -> str | None:
        """The setting by which the adapter changes the base."""
        return changes_base(self.lora)

    @property
    def changing_key(self) -> str:
        """The key of that setting."""
        return str(self.changing).partition(":")[0]

    @property
    def importance(self) -> Any:
        """The rows that FILA reads, if it is used."""
        return importance_of(self.lora)

    @property
    def text(self) -> Any:
        """The config of the language model."""
        return self.config and self.config.get_text_config()

    @property
    def composite(self) -> CompositeConfig | None:
        """The config of a composite model, if it is one."""
        return self.config if isinstance(self.config, CompositeConfig) else None

    @property
    def trained(self) -> CompositeConfig | None:
        """The config of a composite model with a trained component, or an open base."""
        found = self.composite
        return found if found and (found.trained or found.base_is_open) else None

    @property
    def stream_names(self) -> str:
        """Names of the streams, for hints."""
        return ", ".join(self.streams or ()) or "none"

    @property
    def last_layer(self) -> int:
        """The last decoder block that an objective reads."""
        return max(self.layers)

    @property
    def last_block(self) -> int:
        """The model's last decoder block."""
        return self.text.num_hidden_layers - 1

    def reads(self, kind: str) -> bool:
        """Whether an objective needs a reference, and it is of that kind."""
        return "reference" in self.needs and self.kind == kind
