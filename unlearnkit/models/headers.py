"""Compares a config with the weights of its folder, without reading them."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig
from safetensors import safe_open
from transformers import AutoModelForCausalLM, PreTrainedConfig

from unlearnkit.errors import RecipeError
from unlearnkit.models.base import BaseModel, config_value, reading

_PACKED = 8
"""Weights that one stored number may stand for, and a margin."""
_FLOATING = ("F", "BF")
_ORDINARY = 2**20
_WIDTHS = ("vocab_size", "intermediate_size")


def refuse_impossible(config: PreTrainedConfig, base: BaseModel) -> None:
    """Refuses a config that describes far more weights than the folder's files hold.

    Such a model would be built before the gaps are seen, and fill the memory.

    Args:
        config: The model's.
        base: Its folder; a hub id and a GGUF file are let pass.

    Raises:
        RecipeError: With what the config describes and what is there, or if a file is broken.
    """
    files = sorted(Path(base.path).glob("*.safetensors"))
    if not files or base.gguf_file:
        return
    with reading(base):
        packed = getattr(config, "quantization_config", None) is not None
        shapes = [shape for file in files for shape in _shapes(file, packed)]
    held = sum(map(prod, shapes))
    text = config.get_text_config()
    width = _number(text, "hidden_size")
    asked = [(f"{key} {n}", n * width) for key in _WIDTHS if (n := _number(text, key))]
    heads = _number(text, "num_attention_heads") * _number(text, "head_dim")
    asked.append((f"heads of {heads} together", heads * width))
    wrong = [what for what, size in asked if size > _PACKED * held]
    if (layers := _number(text, "num_hidden_layers")) > _PACKED * len(shapes):
        wrong.append(f"num_hidden_layers {layers}")
    if not wrong and max(_integers(config.to_dict()), default=0) > max(_ORDINARY, held):
        wrong = _by_building(config, held)
    if wrong:
        raise RecipeError(
            f"model.base: {base.path}/config.json does not belong to the weights beside it: "
            f"{', '.join(wrong)} of hidden_size {width}, where the files hold {held:,} numbers in "
            f"{len(shapes)} tensors",
            hint="Give the folder as it was saved.",
        )


def _by_building(config: PreTrainedConfig, held: int) -> list[str]:
    """What is wrong with the size of the model, built without memory."""
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config)
    except Exception:  # It says more when it is loaded.
        return []
    size = sum(each.numel() for each in model.parameters())
    return [f"{size:,} parameters"] if size > _PACKED * held else []


def refuse_integers(file: Path, opened: Any) -> None:
    """Refuses weights that are stored as whole numbers, which would be taken for the weights.

    Args:
        file: For the message.
        opened: The file, by ``safe_open``.

    Raises:
        RecipeError: With the first of them.
    """
    for name in opened.keys():  # noqa: SIM118, no mapping
        kind = opened.get_slice(name).get_dtype()
        if name.endswith("weight") and not kind.startswith(_FLOATING):
            raise RecipeError(
                f"model.base: {file}: {name} is stored as {kind}, expected floating-point numbers, "
                "since the config names no quantization",
                hint="Give the folder as it was saved.",
            )


def refuse_ranks(file: Path, opened: Any) -> None:
    """Refuses an adapter whose config asks for higher ranks than its file can hold.

    Args:
        file: Of the adapter's weights, beside its config.
        opened: The file, by ``safe_open``.

    Raises:
        RecipeError: With the highest rank.
    """
    config = PeftConfig.from_pretrained(str(file.parent))
    ranks = [getattr(config, "r", 0), *(getattr(config, "rank_pattern", None) or {}).values()]
    highest = max((each for each in ranks if isinstance(each, int)), default=0)
    held = sum(prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118
    if highest > held:
        raise RecipeError(
            f"model.base: {file.parent} asks for an adapter of rank {highest}, and its file holds "
            f"{held:,} numbers",
            hint="Give the folder as it was saved.",
        )


def _shapes(file: Path, packed: bool) -> Iterator[tuple[int, ...]]:
    with safe_open(file, framework="pt") as opened:
        if not packed:
            refuse_integers(file, opened)
        for name in opened.keys():  # noqa: SIM118, no mapping
            yield tuple(opened.get_slice(name).get_shape())


def _number(config: PreTrainedConfig, key: str) -> int:
    found = config_value(config, key)
    return found if isinstance(found, int) and found > 0 else 0


def _integers(value: Any) -> Iterator[int]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _integers(each)
    elif isinstance(value, int):
        yield value
