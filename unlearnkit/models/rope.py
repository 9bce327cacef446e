"""Rows that must not share a forward pass: LongRoPE and dynamic NTK.

Both take the frequencies of all rows from the longest one: LongRoPE has one set up to the original
number of positions and another above it, dynamic NTK one for every length above it, which it keeps
until a short row comes.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple
from weakref import WeakSet

import torch
from torch import nn
from transformers import PreTrainedConfig

from unlearnkit.models.wrapped import unwrapped

logger = logging.getLogger(__name__)
Group = tuple[int, ...]
_told: WeakSet[nn.Module] = WeakSet()


class LengthScaling(NamedTuple):
    """Positions that depend on a forward pass's longest row."""

    kind: Literal["longrope", "dynamic"]
    limit: int
    """Tokens up to which nothing changes."""
    before: int = 0
    """Tokens that the model puts in front of each row."""

    def group(self, length: int) -> int:
        """A number that rows of one forward pass must share."""
        over = max(0, length + self.before - self.limit)
        return over if self.kind == "dynamic" else min(over, 1)


def length_scalings(model: Any) -> tuple[LengthScaling, ...]:
    """How a model's positions depend on the longest row; empty for most models.

    Args:
        model: A model of transformers, a composite model, or one wrapped by PEFT or for ranks.
    """
    model = unwrapped(model)
    if hasattr(model, "get_base_model"):
        model = model.get_base_model()
    if isinstance(parts := getattr(model, "parts", None), nn.ModuleDict):
        return tuple(each for part in parts.values() for each in length_scalings(part))
    if getattr(model, "prepends", False):
        before = len(model.context) - (model.config.begins_with is not None)
        return tuple(each._replace(before=before) for each in length_scalings(model.base))
    if getattr(model, "reads_prompts", False):
        return length_scalings(model.base)
    return scalings_of(model.config)


def scalings_of(config: PreTrainedConfig) -> tuple[LengthScaling, ...]:
    """The same for a config.

    Example:
        >>> from transformers import LlamaConfig
        >>> rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}
        >>> scalings_of(LlamaConfig(max_position_embeddings=64, rope_parameters=rope))
        (LengthScaling(kind='dynamic', limit=64, before=0),)
    """
    text = config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or {}
    # One for all blocks, or one for each kind of block.
    every = [rope] if "rope_type" in rope else [v for v in rope.values() if isinstance(v, dict)]
    found: list[LengthScaling] = []
    for each in every:
        kind = each.get("rope_type", "default")
        if kind == "longrope":
            found.append(LengthScaling(kind, int(each["original_max_position_embeddings"])))
        elif "dynamic" in kind:
            found.append(LengthScaling("dynamic", int(text.max_position_embeddings)))
    return tuple(dict.fromkeys(found))


def row_groups(model: nn.Module, lengths: Sequence[int]) -> list[list[int]]:
    """Indices of rows that may share a forward pass; warns once of several groups.

    Also resets dynamic NTK, which remembers rows of earlier passes.

    Args:
        model: The model.
        lengths: Tokens of each row.
    """
    scalings = length_scalings(model)
    if not scalings:
        return [list(range(len(lengths)))]
    groups: dict[Group, list[int]] = {}
    for index, length in enumerate(lengths):
        groups.setdefault(tuple(each.group(length) for each in scalings), []).append(index)
    if len(groups) > 1:
        tell(model, scalings)
    return list(groups.values())


def generation_batches(
    model: nn.Module, lengths: Sequence[int], limits: Sequence[int], order: Sequence[int], size: int
) -> Iterator[tuple[list[int], bool]]:
    """Batches of rows that do not affect each other while they grow.

    Args:
        model: The model.
        lengths: Tokens of each prompt.
        limits: New tokens of each prompt at most.
        order: The rows, in the order in which they go together.
        size: Rows of a batch at most.

    Yields:
        Rows, and whether none of them passes a limit of the model's positions.
    """
    scalings, positions = length_scalings(model), _positions(model)
    near: list[int] = []
    apart: dict[Group, list[int]] = {}
    for row in order:
        ends = [each.group(lengths[row] + limits[row]) for each in scalings]
        if not any(ends):
            near.append(row)
        else:  # rows of one length pass the limit together; LongRoPE's are alike beyond it
            starts = [each.group(lengths[row]) for each in scalings]
            beyond = all(
                s and each.kind == "longrope" for s, each in zip(starts, scalings, strict=True)
            )
            apart.setdefault((-1,) if beyond else (lengths[row],), []).append(row)
    if apart and (near or len(apart) > 1):
        tell(model, scalings)
    batch: list[int] = []
    for row in near:
        # A row that has ended is filled up, so the longest prompt may get as many as any.
        longest = max(lengths[i] for i in (*batch, row)) + max(limits[i] for i in (*batch, row))
        too_long = longest > positions or any(each.group(longest) for each in scalings)
        if len(batch) == size or (batch and too_long):
            yield batch, True
            batch = []
        batch.append(row)
    if batch:
        yield batch, True
    for rows in apart.values():
        for start in range(0, len(rows), size):
            yield rows[start : start + size], False


def _positions(model: Any) -> float:
    """Entries of the table in which a model looks its positions up; infinite of rotary ones."""
    config = getattr(model, "config", None)
    longest = getattr(config, "max_position_embeddings", None)
    rotary = getattr(config, "rope_parameters", None)
    return longest if isinstance(longest, int) and not rotary else math.inf


def forget_long_rows(model: nn.Module) -> None:
    """Resets dynamic NTK, which keeps the frequencies of the longest row that it saw."""
    if not any(each.kind == "dynamic" for each in length_scalings(model)):
        return
    module: Any
    for module in model.modules():
        kinds = getattr(module, "rope_type", None)
        for layer, kind in kinds.items() if isinstance(kinds, dict) else [(None, kinds)]:
            if not isinstance(kind, str) or "dynamic" not in kind:
                continue
            # A row below the original length resets it.
            device = next(module.buffers()).device
            one = torch.zeros(1, 1, dtype=torch.long, device=device)
            module(one.float()[..., None], one, *([] if layer is None else [layer]))


def tell(model: nn.Module, scalings: Sequence[LengthScaling]) -> None:
    """Warns once for each model that rows are run apart."""
    if model not in _told:
        _told.add(model)
        limits = ", ".join(str(each.limit - each.before) for each in scalings)
        kinds = " and ".join(dict.fromkeys(_NAMES[each.kind] for each in scalings))
        logger.warning(
            "rows of more than %s tokens are run apart from shorter ones: %s gives all rows of a "
            "forward pass the frequencies of the longest", limits, kinds,
        )  # fmt: skip


_NAMES = {"longrope": "LongRoPE", "dynamic": "dynamic NTK"}
