"""A phase that edits weights, in place of a training."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from unlearnkit.edits.matching import config_problems, refuse
from unlearnkit.edits.noise import Noise
from unlearnkit.edits.task_vector import Add, Negate
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.files import write_json, write_text
from unlearnkit.runs.facts import peak_memory_mb
from unlearnkit.runs.folder import RunSummary, make_folder
from unlearnkit.runs.phases.phase import Base, Phase, with_base
from unlearnkit.runs.phases.yaml_text import without_secrets

OPTIONS: dict[str, tuple[str, ...]] = {
    "negate": ("base", "scale"), "add": ("base", "scale"), "noise": ("alpha", "beta", "seed"),
}  # fmt: skip
"""What each edit of a phase can be given, by its name."""


class Edit(Phase):
    """Makes a model from that of the phase before, without training.

    ``negate`` and ``add`` take what the phases before learned away from a model, or add it:
    ``θ = θ_base ± scale·(θ_before - θ_base)``, where ``θ_before`` is the model of the phase before.
    ``noise`` mixes that model with fresh weights: ``θ = (1 - alpha) θ_before + alpha·beta·noise``.

    Args:
        phase: Its folder in the run folder.
        name: ``negate``, ``add`` or ``noise``.
        base: The model that those phases started from; of ``negate`` and ``add``.
        scale: Factor of the difference, by default 1.
        alpha: Share of fresh weights, by default 0.5; of ``noise``, as are the next two.
        beta: Factor of the noise, by default 0.1.
        seed: Of the noise, by default 0.

    Raises:
        RecipeError: For another name, an option of another edit, or a value out of range.

    References:
        Ilharco et al. 2023, "Editing models with task arithmetic", arXiv 2212.04089; Liu et al.
        2024 (SKU), arXiv 2402.10058, stage 2; Lee et al. 2025 (UNDO), arXiv 2506.06278.
    """

    trains = False

    def __init__(
        self,
        phase: str,
        name: str,
        base: Base | None = None,
        scale: float | None = None,
        alpha: float | None = None,
        beta: float | None = None,
        seed: int | None = None,
    ) -> None:
        if name not in OPTIONS:
            *some, last = OPTIONS
            raise RecipeError(f"expected {', '.join(some)} or {last}, found '{name}'")
        options = {
            "base": base, "scale": scale, "alpha": alpha, "beta": beta, "seed": seed,
        }  # fmt: skip
        given: dict[str, Any] = {key: each for key, each in options.items() if each is not None}
        if wrong := sorted(given.keys() - set(OPTIONS[name])):
            raise RecipeError(
                f"'{name}' has no {' and no '.join(wrong)}; it has {', '.join(OPTIONS[name])}"
            )
        if scale is not None and not math.isfinite(scale):
            raise RecipeError(f"scale: expected a finite number, found {scale}")
        self.edit, self.base = name, base
        if base is None and name != "noise":
            raise RecipeError(f"'{name}' needs base, the model that the phases before started from")
        self._noise = {"alpha": alpha, "beta": beta, "seed": seed}
        self._scale = 1.0 if scale is None else scale
        self._made("")  # it checks the values
        if base is None:
            super().__init__(phase, {"edit": {"name": name, **given}})
        else:
            recipe = with_base({"name": name, "scale": self._scale}, base)
            super().__init__(phase, {"edit": recipe})

    def _made(self, before: Base) -> Noise | Negate | Add:
        if self.base is not None:
            kind = Negate if self.edit == "negate" else Add
            return kind(self.base, [before], self._scale)
        given: dict[str, Any] = {k: v for k, v in self._noise.items() if v is not None}
        try:
            return Noise(before, **given)
        except UserError as error:
            raise RecipeError(error.message.removeprefix("--")) from error

    def check(self) -> None:
        """Checks that there is a model."""
        if self.base is not None:
            refuse(list(config_problems(self.base, [])), "Give edit.base a model.")

    def run(self, base: Base, folder: Path, ckpt_path: str | None = None) -> Path:
        """Writes the edited model; an interrupted edit starts again."""
        started = time.monotonic()
        make_folder(folder)
        write_text(folder / "recipe.yaml", without_secrets(self.text(base)))
        self._made(base).write(folder / "model")
        summary = RunSummary(self.name, 0, 0, None, folder, round(time.monotonic() - started, 2))
        summary.peak_memory_mb = peak_memory_mb()
        write_json(folder / "summary.json", summary.as_json())
        return folder
