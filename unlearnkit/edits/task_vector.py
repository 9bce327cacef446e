"""Adds the difference of two models to a third, or takes it away."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from peft.utils import merge_utils
from torch import Tensor

from unlearnkit.data.plan import derived_seed
from unlearnkit.edits.matching import Base, config_problems, name_of, refuse, weight_problems
from unlearnkit.edits.output import (
    RECORD,
    SHARD_BYTES,
    copy_companions,
    new_folder,
    refuse_existing,
    write_json,
    write_weights,
)
from unlearnkit.edits.weights import Weights, open_weights
from unlearnkit.errors import UserError
from unlearnkit.models.fingerprint import model_fingerprint

CHUNK = 2**24
"""Elements of a tensor that are worked on in float32 at a time."""

_MERGES: dict[str, Callable[[list[Tensor], Tensor, float], Tensor]] = {
    "magnitude_prune": merge_utils.magnitude_prune,
    "ties": merge_utils.ties,
    "dare_linear": merge_utils.dare_linear,
    "dare_ties": merge_utils.dare_ties,
}


def add_task_vectors(
    base: Base,
    tuned: Sequence[Base],
    scale: float,
    out: str | Path,
    *,
    method: str = "linear",
    density: float = 1.0,
    seed: int = 0,
    shard_bytes: int = SHARD_BYTES,
) -> Path:
    """Writes the model ``θ = θ_base + scale·merge(θ_tuned − θ_base)``; a negative scale forgets.

    Tensor by tensor from safetensors to safetensors, in float32, and stored in the base's dtypes.
    In memory are one file of the output (`SHARD_BYTES`) and, with ``linear``, `CHUNK` elements;
    the other methods need a tensor whole. Integer tensors and files beside the weights are the
    base's.

    Args:
        base: Any model that a recipe can name.
        tuned: Models trained from it; run folders and LoRA adapters too.
        scale: Factor of the task vector; -1 mirrors ``tuned`` at ``base``.
        out: The folder to write; it must not exist or be empty.
        method: ``linear`` is the sum of the task vectors. The others are PEFT's, each tensor on
            its own: ``magnitude_prune`` keeps the largest entries, ``ties`` those of the sign that
            prevails, ``dare_linear`` and ``dare_ties`` drop entries at random and rescale.
        density: Part of the entries that the other methods keep.
        seed: Of the entries that DARE drops.
        shard_bytes: Largest file.

    Returns:
        ``out``.

    Raises:
        UserError: With every mismatch of architecture, tokenizer, names and shapes, before
            anything is written; if ``out`` exists; if a weight overflows.

    References:
        Ilharco et al. 2023, "Editing models with task arithmetic", arXiv 2212.04089.
        Liu et al. 2024, "Towards safer large language models through machine unlearning" (SKU),
        arXiv 2402.10058, stage 2.
        Yadav et al. 2023 (TIES), arXiv 2306.01708. Yu et al. 2024 (DARE), arXiv 2311.03099.
    """
    _check_arguments(tuned, scale, method, density)
    target = Path(out)
    refuse_existing(target)
    hint = "A task vector is the difference of two models of one architecture and tokenizer."
    refuse(list(config_problems(base, list(tuned))), hint)
    weights, others = open_weights(base), [open_weights(each) for each in tuned]
    problems = [
        problem
        for each, other in zip(tuned, others, strict=True)
        for problem in weight_problems(name_of(base), weights, name_of(each), other)
    ]
    refuse(problems, hint)

    def make(name: str) -> Tensor:
        if not weights.specs[name].dtype.is_floating_point:
            return weights.rows(name)
        if method == "linear":
            edited = _linear(weights, others, name, scale)
        else:
            edited = _merged(weights, others, name, scale, method, density, seed)
        if not torch.isfinite(edited).all():
            raise UserError(
                f"{name}: a weight is not finite, or overflows {edited.dtype}",
                hint="Give a smaller --scale, and check that the models have finite weights.",
            )
        return edited

    with new_folder(target) as folder:
        copy_companions(weights.folders, folder)
        write_weights(folder, weights.specs, make, shard_bytes)
        record = {
            "edit": "task_vector", "scale": scale, "method": method, "density": density,
            "seed": seed, "base": _identity(base), "tuned": [_identity(each) for each in tuned],
        }  # fmt: skip
        write_json(folder / RECORD, record)
    return target


def _check_arguments(tuned: Sequence[Base], scale: float, method: str, density: float) -> None:
    if not tuned:
        raise UserError("--tuned: give at least one model that was trained from the base")
    if not math.isfinite(scale):
        raise UserError(f"--scale: expected a finite number, found {scale}")
    if method != "linear" and method not in _MERGES:
        raise UserError(
            f"--method: there is none named '{method}'",
            hint=f"Methods: linear, {', '.join(_MERGES)}.",
        )
    if not 0 < density <= 1:
        raise UserError(f"--density: expected above 0 and at most 1, found {density}")
    if method == "linear" and density != 1:
        raise UserError(
            "--density: the method 'linear' keeps every entry",
            hint="Add --method magnitude_prune, ties, dare_linear or dare_ties.",
        )


def _linear(weights: Weights, others: Sequence[Weights], name: str, scale: float) -> Tensor:
    shape, dtype = weights.specs[name]
    if not shape:
        return _sum(weights.rows(name), [each.rows(name) for each in others], scale).to(dtype)
    edited = torch.empty(shape, dtype=dtype)
    rows = max(1, CHUNK // max(1, edited[:1].numel()))
    for start in range(0, shape[0], rows):
        stop = min(start + rows, shape[0])
        parts = [each.rows(name, start, stop) for each in others]
        edited[start:stop] = _sum(weights.rows(name, start, stop), parts, scale)
    return edited


def _sum(base: Tensor, others: Sequence[Tensor], scale: float) -> Tensor:
    """``base + scale·Σ(other − base)``, at least in float32."""
    start = _precise(base)
    found = start.clone()
    for other in others:
        found += scale * (_precise(other) - start)
    return found


def _merged(
    weights: Weights,
    others: Sequence[Weights],
    name: str,
    scale: float,
    method: str,
    density: float,
    seed: int,
) -> Tensor:
    start = _precise(weights.rows(name))
    vectors = [_precise(each.rows(name)) - start for each in others]
    with torch.random.fork_rng(devices=[]):
        # Each tensor has a seed of its own, so that the order of the files plays no part.
        torch.manual_seed(derived_seed(seed, name))
        merged = _MERGES[method](vectors, torch.ones(len(vectors)), density)
    return (start + scale * merged).to(weights.specs[name].dtype)


def _precise(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _identity(base: Base) -> dict[str, str]:
    return {"name": name_of(base), "fingerprint": model_fingerprint(base)}
