"""Reads the weights of a model folder tensor by tensor."""

from __future__ import annotations

import json
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from huggingface_hub import snapshot_download
from peft import LoraConfig, PeftConfig
from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedConfig

from unlearnkit.errors import UserError
from unlearnkit.models.adapter import beyond_low_rank
from unlearnkit.models.base import BaseModel, as_base_model, explain_missing
from unlearnkit.models.composite.base import CompositeConfig
from unlearnkit.models.load import adapter_base, load_config
from unlearnkit.models.whole import ADAPTER_FILE, refuse_adapter_gaps

COMPANIONS = ("*.json", "*.jinja", "*.txt", "*.model")
"""Files of a model folder beside its weights: configs, tokenizer, chat template."""
_INDEX, _SINGLE = "model.safetensors.index.json", "model.safetensors"


class Spec(NamedTuple):
    """What is known of a tensor without reading it."""

    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def size(self) -> int:
        """Size in bytes."""
        return torch.Size(self.shape).numel() * self.dtype.itemsize


class Weights(Protocol):
    """Named tensors of one model."""

    folders: tuple[Path, ...]
    """Where the files beside the weights are; the last folder that has one wins."""
    specs: dict[str, Spec]

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Rows of a tensor, at least as precise as they are stored; a scalar is whole."""
        ...


def open_weights(base: str | BaseModel) -> Weights:
    """The weights of any model that a recipe can name; none is read yet.

    Raises:
        UserError: If there is no model there, or its weights are not safetensors.
    """
    resolved = as_base_model(base)
    if resolved.gguf_file:
        raise UserError(
            f"{_name(base)}: weights are edited in safetensors, and this is a GGUF file",
            hint="Load it with transformers and save it with save_pretrained.",
        )
    if resolved.first_blocks is not None or is_composite(base):
        raise UserError(
            f"{_name(base)}: it is a composite model or a part of one, and weights are edited "
            "in a plain model",
            hint="Name the plain model that it was made from.",
        )
    folder = Path(resolved.path)
    if not folder.is_dir():
        folder = downloaded(resolved)
    if (folder / "adapter_config.json").is_file():
        below = adapter_base(resolved)
        return LoraWeights(folder, open_weights(below), load_config(below))
    return FolderWeights(folder)


def is_composite(base: str | BaseModel) -> bool:
    """Whether a model is a composite one, which points at others.

    Raises:
        RecipeError: If there is no model there.
    """
    return isinstance(load_config(base), CompositeConfig)


def tied_names(config: PreTrainedConfig) -> set[str]:
    """Names of weights that a model shares with an earlier one, such as a tied output head."""
    model = on_meta(config)
    seen: set[int] = set()
    tied: set[str] = set()
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if id(parameter) in seen:
            tied.add(name)
        seen.add(id(parameter))
    return tied


def on_meta(config: PreTrainedConfig) -> Any:
    """A causal model of a config, without weights."""
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(config)


class FolderWeights:
    """The safetensors files of a model folder, one or many.

    Args:
        folder: A folder that transformers loads.

    Raises:
        UserError: If there are none, or one is missing or cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.folders: tuple[Path, ...] = (folder,)
        # One file is mapped at a time: pages of a mapped file count as memory of the process.
        self._open = lru_cache(maxsize=1)(_open)
        self.specs: dict[str, Spec] = {}
        self._homes: dict[str, Path] = {}
        for file in _files(folder):
            for name in self._open(file).keys():  # noqa: SIM118 not a dict
                self._homes[name] = file
                self.specs[name] = _spec(self._open(file), name)
        config = load_config(str(folder))
        if getattr(config.get_text_config(), "tie_word_embeddings", False):
            for name in tied_names(config):
                self.specs.pop(name, None)

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Rows of a tensor; see `Weights`."""
        file = self._open(self._homes[name])
        if not self.specs[name].shape:
            return file.get_tensor(name)
        return file.get_slice(name)[start:stop]


class LoraWeights:
    """A base model with a LoRA adapter merged in, row by row: ``W + s·B·A``.

    Args:
        folder: The adapter's folder.
        base: The model that it belongs to.
        config: That model's config.

    Raises:
        UserError: If the adapter is more than ``s·B·A``, such as DoRA or one that saves modules, or
            its file lacks a weight.
    """

    def __init__(self, folder: Path, base: Weights, config: PreTrainedConfig) -> None:
        self.folders: tuple[Path, ...] = (*base.folders, folder)
        self.specs = base.specs
        self._base = base
        self._config = _plain_lora(folder)
        self._file = _open(folder / ADAPTER_FILE)
        refuse_adapter_gaps(config, self._config, folder)
        self._targets = self._find_targets(folder)

    @cached_property
    def scale(self) -> float:
        """``s``, by which the adapter's product is multiplied."""
        alpha, r = self._config.lora_alpha, self._config.r
        return alpha / r**0.5 if self._config.use_rslora else alpha / r

    def rows(self, name: str, start: int = 0, stop: int | None = None) -> Tensor:
        """Rows of a merged tensor, in float32; see `Weights`."""
        found = self._base.rows(name, start, stop).float()
        if name not in self._targets:
            return found
        key = self._targets[name]
        a = self._file.get_tensor(f"{key}.lora_A.weight").float()
        b = self._file.get_tensor(f"{key}.lora_B.weight").float()
        if self._config.fan_in_fan_out:
            return found + self.scale * (a.T[start:stop] @ b.T)
        return found + self.scale * (b[start:stop] @ a)

    def _find_targets(self, folder: Path) -> dict[str, str]:
        """Key in the adapter's file of each weight that it changes."""
        keys = {
            key.removesuffix(".lora_A.weight")
            for key in self._file.keys()  # noqa: SIM118 not a dict
            if key.endswith(".lora_A.weight")
        }
        targets = {f"{key.removeprefix('base_model.model.')}.weight": key for key in keys}
        unknown = sorted(set(targets) - set(self.specs))
        if unknown:
            raise UserError(
                f"{folder}: the adapter changes weights that its base model lacks: "
                f"{', '.join(unknown[:3])}",
                hint=_MERGE_FIRST,
            )
        return targets


_MERGE_FIRST = "Merge it first: unlearnkit export RUN OUT --merge, and name OUT instead."


def _plain_lora(folder: Path) -> LoraConfig:
    config = PeftConfig.from_pretrained(str(folder))
    if not isinstance(config, LoraConfig):
        kind = getattr(config.peft_type, "value", config.peft_type)
        raise UserError(f"{folder}: an adapter of type {kind} is not LoRA", hint=_MERGE_FIRST)
    patterns = [name for name in ("rank_pattern", "alpha_pattern") if getattr(config, name)]
    if found := [*beyond_low_rank(config), *patterns]:
        raise UserError(
            f"{folder}: the adapter is more than a low-rank product ({', '.join(found)})",
            hint=_MERGE_FIRST,
        )
    return config


def downloaded(resolved: BaseModel) -> Path:
    """The folder of a hub id's files, without those that a model is not loaded from.

    Raises:
        RecipeError: If the hub does not give them.
    """
    try:
        return Path(
            snapshot_download(
                resolved.path,
                revision=resolved.revision,
                allow_patterns=[*COMPANIONS, "*.safetensors"],
            )
        )
    except (OSError, ValueError) as error:
        raise explain_missing(resolved, error) from error


def _files(folder: Path) -> list[Path]:
    index = folder / _INDEX
    if index.is_file():
        homes = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(set(homes.values()))
    else:
        names = [_SINGLE]
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder} lacks {', '.join(missing)}",
            hint="Weights are edited in safetensors: give a folder with model.safetensors, or with "
            f"{_INDEX} and the files that it names.",
        )
    return [folder / name for name in names]


def _open(file: Path) -> Any:
    try:
        return safe_open(file, framework="pt")
    except (OSError, SafetensorError) as error:
        raise UserError(f"{file} cannot be read: {error}") from error


def _spec(file: Any, name: str) -> Spec:
    # No rows of a tensor have its dtype, and cost nothing.
    shape = tuple(file.get_slice(name).get_shape())
    empty = file.get_slice(name)[:0] if shape else file.get_tensor(name)
    return Spec(shape, empty.dtype)


def _name(base: str | BaseModel) -> str:
    return base if isinstance(base, str) else base.path
