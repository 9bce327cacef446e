"""Adds or subtracts the weight difference of two models."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import torch
from peft.utils import merge_utils
from torch import Tensor

from unlearnkit.data.plan import derived_seed
from unlearnkit.edits.base import Edit, Model, refuse_infinite
from unlearnkit.edits.matching import config_problems, name_of, refuse, weight_problems
from unlearnkit.edits.output import RECORD, SHARD_BYTES, copy_companions, write_weights
from unlearnkit.edits.weights import Weights, open_weights
from unlearnkit.errors import UserError
from unlearnkit.files import refuse_occupied, write_json
from unlearnkit.models.digests import whole_model_folder
from unlearnkit.models.fingerprint import model_fingerprint

CHUNK = 2**24
"""Elements of a tensor that are worked on in float32 at a time."""

_MERGES: dict[str, Callable[[list[Tensor], Tensor, float], Tensor]] = {
    "magnitude_prune": merge_utils.magnitude_prune,
    "ties": merge_utils.ties,
    "dare_linear": merge_utils.dare_linear,
    "dare_ties": merge_utils.dare_ties,
}
_DRAWING = ("dare_linear", "dare_ties")


class _TaskVector(Edit, ABC):
    """Adds the difference of models to another one, or takes it away; see the subclasses."""

    sign: ClassVar[int]

    def __init__(
        self,
        base: Model,
        tuned: list[Model],
        scale: float = 1.0,
        method: str = "linear",
        density: float = 1.0,
        seed: int = 0,
    ) -> None:
        if not tuned:
            raise UserError("--tuned: give at least one model that was trained from the base")
        refuse_infinite(scale=scale)
        if method != "linear" and method not in _MERGES:
            raise UserError(
                f"--method: there is none named '{method}'",
                hint=f"Methods: linear, {', '.join(_MERGES)}.",
            )
        if not 0 < density <= 1:
            raise UserError(f"--density: expected above 0 and at most 1, found {density}")
        self.base, self.tuned, self.scale = base, list(tuned), scale
        self.method, self.density, self.seed = method, density, seed

    @property
    def without_effect(self) -> dict[str, str]:
        """What the method does not read."""
        names = [
            *(["density"] if self.method == "linear" else []),
            *([] if self.method in _DRAWING else ["seed"]),
        ]
        return dict.fromkeys(names, f"with --method {self.method}")

    def write(self, out: str | Path, shard_bytes: int = SHARD_BYTES) -> Path:
        """Writes ``θ = θ_base ± scale·merge(θ_tuned − θ_base)``; the base's dtypes are kept.

        In memory are one file of the output (``shard_bytes``) and, with ``linear``, `CHUNK`
        elements in float32; the other methods need a tensor whole. Integer tensors and files
        beside the weights are the base's.

        Raises:
            UserError: With every mismatch of architecture, tokenizer, names and shapes, before
                anything is written; if ``out`` exists; if a weight overflows.
        """
        self.refuse_without_effect()
        target = Path(out)
        refuse_occupied(target)
        weights, others = self._matching()
        with whole_model_folder(target) as folder:
            copy_companions(weights.folders, folder)
            make = partial(self._edited, weights, others)
            write_weights(folder, weights.specs, make, shard_bytes)
            record = {
                "edit": "task_vector", "scale": self.sign * self.scale, "method": self.method,
                "density": self.density, "seed": self.seed, "base": _identity(self.base),
                "tuned": [_identity(each) for each in self.tuned],
            }  # fmt: skip
            write_json(folder / RECORD, record)
        return target

    def _matching(self) -> tuple[Weights, list[Weights]]:
        """The weights of all models, which have the same names and shapes."""
        hint = "A task vector is the difference of two models of one architecture and tokenizer."
        refuse(list(config_problems(self.base, self.tuned)), hint)
        weights, others = open_weights(self.base), [open_weights(each) for each in self.tuned]
        problems = [
            problem
            for each, other in zip(self.tuned, others, strict=True)
            for problem in weight_problems(name_of(self.base), weights, name_of(each), other)
        ]
        refuse(problems, hint)
        return weights, others

    def _edited(self, weights: Weights, others: Sequence[Weights], name: str) -> Tensor:
        if not weights.specs[name].dtype.is_floating_point:
            return weights.rows(name)
        scale = self.sign * self.scale
        if self.method == "linear":
            edited = _linear(weights, others, name, scale)
        else:
            merged = self._merged(weights, others, name)
            edited = (_precise(weights.rows(name)) + scale * merged).to(weights.specs[name].dtype)
        if not torch.isfinite(edited).all():
            raise UserError(
                f"{name}: a weight is not finite, or overflows {edited.dtype}",
                hint="Give a smaller --scale, and check that the models have finite weights.",
            )
        return edited

    def _merged(self, weights: Weights, others: Sequence[Weights], name: str) -> Tensor:
        start = _precise(weights.rows(name))
        vectors = [_precise(each.rows(name)) - start for each in others]
        with torch.random.fork_rng(devices=[]):
            # Each tensor has a seed of its own, so that the order of the files plays no part.
            torch.manual_seed(derived_seed(self.seed, name))
            return _MERGES[self.method](vectors, torch.ones(len(vectors)), self.density)


class Negate(_TaskVector, name="negate"):
    """Subtract what a model learned: base - scale * (tuned - base).

    Tensor by tensor from safetensors to safetensors, so large models need little memory.

    Args:
        base: The model that training began with: run folder, model or adapter folder, hub id, or
            an embedded model such as tiny.
        tuned: The model that learned what is to be forgotten; several may be given.
        scale: Factor of the difference.
        method: How differences are merged: linear, magnitude_prune, ties, dare_linear, dare_ties.
        density: Part of the entries that methods other than linear keep.
        seed: Of the entries that DARE drops.

    References:
        Ilharco et al. 2023, "Editing models with task arithmetic", arXiv 2212.04089.
        Liu et al. 2024, "Towards safer large language models through machine unlearning" (SKU),
        arXiv 2402.10058, stage 2.
        Yadav et al. 2023 (TIES), arXiv 2306.01708. Yu et al. 2024 (DARE), arXiv 2311.03099.
    """

    sign = -1


class Add(_TaskVector, name="add"):
    """Add what models learned: base + scale * (tuned - base).

    Tensor by tensor from safetensors to safetensors, so large models need little memory.

    Args:
        base: The model that training began with: run folder, model or adapter folder, hub id, or
            an embedded model such as tiny.
        tuned: The model that learned something; several may be given.
        scale: Factor of the difference.
        method: How differences are merged: linear, magnitude_prune, ties, dare_linear, dare_ties.
        density: Part of the entries that methods other than linear keep.
        seed: Of the entries that DARE drops.

    References:
        Ilharco et al. 2023, "Editing models with task arithmetic", arXiv 2212.04089.
    """

    sign = 1


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


def _precise(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _identity(base: Model) -> dict[str, str]:
    return {"name": name_of(base), "fingerprint": model_fingerprint(base)}
