"""Shrinks a model's weights towards fresh ones, which a distillation mends."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from unlearnkit.data.plan import derived_seed
from unlearnkit.edits.base import Edit, Model
from unlearnkit.edits.matching import config_problems, name_of, refuse
from unlearnkit.edits.output import RECORD, SHARD_BYTES, copy_companions, write_weights
from unlearnkit.edits.weights import Weights, open_weights
from unlearnkit.errors import UserError
from unlearnkit.files import refuse_occupied, write_json
from unlearnkit.models.digests import whole_model_folder
from unlearnkit.models.fingerprint import model_fingerprint


class Noise(Edit, name="noise"):
    """Mix a model's weights with fresh ones: (1 - alpha) * weights + alpha * beta * noise.

    The middle step of UNDO (unlearn, noise, distil): what unlearning only hid is damaged, and a
    distillation from the unlearned model brings the rest back. The noise of a matrix is Xavier's
    uniform one, each weight below sqrt(6 / (rows + columns)); that of biases and norms is zero, so
    that they are shrunk alone. Of a stack of matrices, such as experts, each is one.

    Args:
        model: The unlearned model: run folder, model or adapter folder, or hub id.
        alpha: Share of the fresh weights, from 0 (nothing changes) to 1 (nothing is left).
        beta: Factor of the noise, from 0 to 1.
        seed: Of the noise.

    References:
        Lee et al. 2025, "Distillation Robustifies Unlearning" (UNDO), arXiv 2506.06278; the mix and
        beta 0.1 are those of its published code, where alpha is 0.1 to 0.8.
    """

    def __init__(self, model: Model, alpha: float = 0.5, beta: float = 0.1, seed: int = 0) -> None:
        for name, value in {"alpha": alpha, "beta": beta}.items():
            if not 0 <= value <= 1:
                raise UserError(f"--{name}: expected 0 to 1, found {value}")
        self.model, self.alpha, self.beta, self.seed = model, alpha, beta, seed

    def write(self, out: str | Path, shard_bytes: int = SHARD_BYTES) -> Path:
        """Writes the mixed model; dtypes are kept, and integer tensors are left as they are.

        Args:
            out: The folder to write; it must not exist or be empty.
            shard_bytes: Largest file of the output; so much is in memory.

        Raises:
            UserError: If there is no model, it is a composite one, or ``out`` exists.
        """
        target = Path(out)
        refuse_occupied(target)
        refuse(list(config_problems(self.model, [])), "Give the model that was unlearned.")
        weights = open_weights(self.model)
        with whole_model_folder(target) as folder:
            copy_companions(weights.folders, folder)
            write_weights(folder, weights.specs, partial(self._mixed, weights), shard_bytes)
            record = {
                "edit": "noise", "alpha": self.alpha, "beta": self.beta, "seed": self.seed,
                "model": {
                    "name": name_of(self.model), "fingerprint": model_fingerprint(self.model),
                },
            }  # fmt: skip
            write_json(folder / RECORD, record)
        return target

    def _mixed(self, weights: Weights, name: str) -> Tensor:
        given, dtype = weights.rows(name), weights.specs[name].dtype
        if not dtype.is_floating_point:
            return given
        mixed = given.to(torch.promote_types(dtype, torch.float32)) * (1 - self.alpha)
        if mixed.dim() > 1:
            # Each tensor has a seed of its own, so that the order of the files plays no part.
            generator = torch.Generator().manual_seed(derived_seed(self.seed, name))
            bound = math.sqrt(6 / (mixed.shape[-1] + mixed.shape[-2]))
            noise = torch.empty_like(mixed).uniform_(-bound, bound, generator=generator)
            mixed.add_(noise, alpha=self.alpha * self.beta)
        return mixed.to(dtype)
