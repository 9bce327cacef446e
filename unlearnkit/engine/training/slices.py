"""Loads a sharded model, of which each process reads its own slices."""

from __future__ import annotations

import copy
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from peft import PeftModel
from safetensors import safe_open
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._utils import compute_local_shape_and_global_offset
from transformers import AutoModelForCausalLM, GenerationConfig
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

from unlearnkit.engine.reference.kinds import Frozen
from unlearnkit.models.adapter import importance_of, start_of
from unlearnkit.models.base import as_base_model, from_pretrained_arguments
from unlearnkit.models.digests import refuse_changed
from unlearnkit.models.finite import refuse_not_finite
from unlearnkit.models.headers import refuse_impossible
from unlearnkit.models.load import composite_loader, load_config
from unlearnkit.models.loaded import LoadedModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Slices:
    """The files of a model's weights, which can be read in slices.

    Args:
        path: The folder.
        files: The file of each weight, by its name in it.
        names: The name in the files of each weight of the model.
        dtype: Type of the weights once they are read.
        settings: How the model is built.
        one_type: An adapter's weights have that type too.
    """

    path: Path
    files: Mapping[str, Path]
    names: Mapping[str, str]
    dtype: torch.dtype
    settings: Mapping[str, Any]
    one_type: bool = False

    @classmethod
    def of(cls, base: Any, dtype: torch.dtype | None = None) -> Slices | None:
        """The files of a model; None of one that can only be loaded whole, with the reason logged.

        Args:
            base: The model.
            dtype: Type of the weights; by default what ``base`` says.
        """
        resolved = as_base_model(base)
        reason = _whole_only(resolved)
        if reason is None:
            refuse_changed(resolved.path)
            config = load_config(resolved)
            refuse_impossible(config, resolved)
            files = _files(Path(resolved.path))
            given = from_pretrained_arguments(resolved)
            settings = {"config": config, "trust_remote_code": given["trust_remote_code"]}
            if resolved.attn_implementation:
                settings["attn_implementation"] = resolved.attn_implementation
            own: Any = config.dtype if resolved.dtype == "auto" else getattr(torch, resolved.dtype)
            with torch.device("meta"):
                names = _stored_names(AutoModelForCausalLM.from_config(**settings), files)
            if not isinstance(names, str):
                kind = dtype or own or torch.float32
                return cls(Path(resolved.path), files, names, kind, settings, dtype is not None)
            reason = names
        logger.info("the model is loaded whole before it is sharded: %s", reason)
        return None

    def unread(self, dtype: str | None = None) -> Any:
        """The model in eval mode, with its buffers and with room for its weights.

        That room takes no memory until it is written to: sharding it writes one slice.

        Args:
            dtype: Type of the weights, where they have another than `dtype`.
        """
        settings = {**self.settings, "config": copy.deepcopy(self.settings["config"])}
        with init_empty_weights(include_buffers=False):
            kind = getattr(torch, dtype) if dtype else self.dtype
            model = AutoModelForCausalLM.from_config(dtype=kind, **settings)
        _make_room(model)
        model.tie_weights()
        model.name_or_path = str(self.path)
        if (self.path / "generation_config.json").is_file():
            model.generation_config = GenerationConfig.from_pretrained(self.path)
        return model.eval()

    @staticmethod
    def frozen(model: Any, dtype: str | None) -> Frozen:
        """A reference that is a model which has been read."""
        return Frozen(model, getattr(torch, dtype) if dtype else None)

    def settle(self, policy: nn.Module) -> None:
        """Gives an adapter's weights the type of all others, where PEFT made them float32."""
        if self.one_type:
            for parameter in policy.parameters():
                parameter.data = parameter.data.to(self.dtype)

    @torch.no_grad()
    def fill(self, model: nn.Module) -> None:
        """Reads this process's slice of each weight of a sharded model.

        Raises:
            RecipeError: If weights are not finite.
        """
        inner: Any = model.get_base_model() if isinstance(model, PeftModel) else model
        tensors = [*inner.named_parameters(), *inner.named_buffers()]
        # PEFT puts the weight that it adapts one level lower.
        plain = [(name.replace(".base_layer.", "."), each) for name, each in tensors]
        wanted = [(self.names[name], each) for name, each in plain if name in self.names]
        # One file after the other, each closed before the next.
        for file in dict.fromkeys(self.files.values()):
            with safe_open(file, framework="pt") as opened:
                for name, tensor in wanted:
                    if self.files[name] == file:
                        _read(opened.get_slice(name), tensor)
        refuse_not_finite(inner, str(self.path))


def slices_of(module: Any) -> Slices | None:
    """The files of a module's model, where its strategy shards it and they can be read in slices.

    Args:
        module: An `UnlearningModule`.
    """
    if module.device_mesh is None:
        return None
    lora, trainer = module.lora, module._trainer
    if module.other is not None:
        logger.info("the model is loaded whole before it is sharded: its reference is another one")
        return None
    if lora is not None and (
        start_of(lora)
        or importance_of(lora)
        or lora.modules_to_save
        or lora.trainable_token_indices
    ):
        logger.info("the model is loaded whole before it is sharded: its adapter reads its weights")
        return None
    return Slices.of(module.base, TRUE.get(str(trainer.precision)) if trainer else None)


TRUE = {"bf16-true": torch.bfloat16, "16-true": torch.float16, "64-true": torch.float64}
"""Precisions in which all weights have one type, which they are read in."""


def _read(stored: Any, tensor: Tensor) -> None:
    local = tensor.to_local() if isinstance(tensor, DTensor) else tensor
    if not local.numel():
        return
    if not stored.get_shape():
        local.copy_(stored[...])
        return
    start = (0,) * tensor.dim()
    if isinstance(tensor, DTensor):
        where = (tensor.shape, tensor.device_mesh, tensor.placements)
        _, start = compute_local_shape_and_global_offset(*where)
    ends = zip(start, local.shape, strict=True)
    local.copy_(stored[tuple(slice(first, first + size) for first, size in ends)])


def _whole_only(base: Any) -> str | None:
    folder = Path(base.path)
    if isinstance(base, LoadedModel):
        return "it is in memory"
    if base.quantization:
        return "its weights are quantised while they are read"
    if base.offset is not None or base.gguf_file or base.first_blocks is not None:
        return "it is made from another model"
    if not folder.is_dir():
        return "it is in no folder"
    if (folder / "adapter_config.json").is_file() or composite_loader(base):
        return "it is made from several models"
    if not _files(folder):
        return "there is no safetensors file"
    if get_checkpoint_conversion_mapping(load_config(base).model_type):
        return "transformers rearranges its weights while it reads them"
    return None


def _files(folder: Path) -> dict[str, Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        named = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return {name: folder / file for name, file in named.items()}
    single = folder / "model.safetensors"
    if not single.is_file():
        return {}
    with safe_open(single, framework="pt") as opened:
        return dict.fromkeys(opened.keys(), single)


def _make_room(model: nn.Module) -> None:
    """Gives each weight that has no storage one that is not written to, so that none is taken."""
    made: dict[int, nn.Parameter] = {}
    for module in model.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None and parameter.is_meta:
                room = torch.empty(parameter.shape, dtype=parameter.dtype, device="cpu")
                made.setdefault(id(parameter), nn.Parameter(room, parameter.requires_grad))
                module._parameters[name] = made[id(parameter)]


def _stored_names(model: nn.Module, files: Mapping[str, Path]) -> dict[str, str] | str:
    """The name in the files of each weight; where they are not the model's as they are, why."""
    shapes: dict[str, list[int]] = {}
    for file in dict.fromkeys(files.values()):
        with safe_open(file, framework="pt") as opened:
            shapes |= {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118
    alike: dict[Tensor, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        alike.setdefault(parameter, []).append(name)
    found = {name: name for name, _ in model.named_buffers() if name in shapes}
    for parameter, names in alike.items():
        stored = next((each for each in names if each in shapes), None)
        if stored is None:
            return f"its files have no weight {names[0]}"
        if shapes[stored] != list(parameter.shape):
            return f"its files have another shape of {stored}"
        found |= dict.fromkeys(names, stored)
    return found
