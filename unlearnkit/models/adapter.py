"""The adapter of a recipe and its initial values."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Literal, cast

import peft
from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils.other import AuxiliaryTrainingWrapper
from torch import nn

FROM_WEIGHTS = ("pissa", "olora", "fila")
"""Initialisations that take a part of the base's weights."""
VARIANTS = (
    "use_dora", "use_bdlora", "alora_invocation_tokens", "arrow_config", "velora_config",
    "monteclora_config", "kasa_config", "layer_replication",
)  # fmt: skip
"""Settings that these initialisations do not support."""
MUTATING = ("corda", "loftq", "lora_ga")
"""Initialisations that change the base's weights."""
UNMERGED = ("layer_replication", "alora_invocation_tokens", "arrow_config")
"""Settings of adapters that cannot be merged into the model, as they are for evaluation."""

_OF_LOW_RANK = {
    "task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision",
    "inference_mode", "r", "target_modules", "exclude_modules", "lora_alpha", "lora_dropout",
    "fan_in_fan_out", "use_rslora", "init_lora_weights", "layers_to_transform", "layers_pattern",
    "rank_pattern", "alpha_pattern", "megatron_config", "megatron_core", "loftq_config",
    "eva_config", "corda_config", "lora_ga_config", "qalora_group_size", "runtime_config",
    "ensure_weight_tying",
}  # fmt: skip
"""Fields of PEFT's config with which an adapter is ``s·B·A`` and nothing more."""


@dataclass
class Importance:
    """The rows by which FILA weighs the rows of a weight.

    Args:
        forget: Stream that FILA reads once.
        retain: Stream that gives as many rows.
        batch_size: Rows whose mean gradient is squared. Above 1, as in the authors' code, gradients
            of unlike rows cancel and the Fisher information comes out too small.
    """

    forget: str = "forget"
    retain: str = "retain"
    batch_size: int = 1


@dataclass
class LoraConfig(peft.LoraConfig):
    """PEFT's `LoraConfig` with one more initialisation, ``fila``.

    Args:
        init_lora_weights: As in PEFT, and ``fila``. With ``fila``, ``pissa`` and ``olora`` the
            adapter begins with a part of the weights. PEFT takes that part out of the base; here
            the base stays as it is and the part is subtracted beside it, so that the model with the
            adapter off is the model as it was.
        svd_iterations: Power iterations of a randomised decomposition for ``pissa`` and ``fila``;
            by default it is exact.
        importance: Rows that ``fila`` reads.
    """

    init_lora_weights: (
        bool | Literal["gaussian", "orthogonal", "mica", "olora", "pissa", "fila"]
    ) = True  # pyright: ignore[reportIncompatibleVariableOverride]
    svd_iterations: int | None = None
    importance: Importance = field(default_factory=Importance)


def plain_config(lora: peft.LoraConfig) -> peft.LoraConfig:
    """PEFT's own config, in which an adapter of `FROM_WEIGHTS` is a no-op until filled."""
    if type(lora) is peft.LoraConfig and not start_of(lora):
        return lora
    given = {each.name: getattr(lora, each.name) for each in fields(peft.LoraConfig) if each.init}
    if start_of(lora):
        given["init_lora_weights"] = True
    return peft.LoraConfig(**given)


def start_of(lora: peft.LoraConfig | None) -> str | None:
    """Which of `FROM_WEIGHTS` an adapter begins with, if any."""
    found: Any = getattr(lora, "init_lora_weights", None)
    return found if found in FROM_WEIGHTS else None


def importance_of(lora: peft.LoraConfig | None) -> Importance | None:
    """The rows that FILA needs; None for other initialisations."""
    if start_of(lora) != "fila":
        return None
    return lora.importance if isinstance(lora, LoraConfig) else Importance()


def changes_base(lora: peft.LoraConfig | None) -> str | None:
    """The setting by which an adapter changes the base's weights for good.

    Example:
        >>> changes_base(LoraConfig(bias="all"))
        'bias: all'
    """
    if lora is None:
        return None
    if lora.bias != "none":
        return f"bias: {lora.bias}"
    # It cuts small singular values off the weights that it adapts.
    return None if lora.kasa_config is None else "kasa_config"


def beyond_low_rank(config: peft.LoraConfig) -> list[str]:
    """The settings by which an adapter is more than a low-rank product beside each weight.

    Example:
        >>> beyond_low_rank(peft.LoraConfig(r=4, use_dora=True, bias="all"))
        ['bias', 'use_dora']
    """
    plain = peft.LoraConfig()
    return [
        each.name
        for each in fields(peft.LoraConfig)
        if each.name not in _OF_LOW_RANK and getattr(config, each.name) != getattr(plain, each.name)
    ]


def without_adapter(module: nn.Module) -> nn.Module:
    """What an adapter was put on: the module that runs where the adapter is switched off.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> without_adapter(layer) is layer
        True
    """
    while isinstance(module, BaseTunerLayer | AuxiliaryTrainingWrapper):
        module = (
            module.get_base_layer()
            if isinstance(module, BaseTunerLayer)
            else cast(nn.Module, module.original_module)
        )
    return module
