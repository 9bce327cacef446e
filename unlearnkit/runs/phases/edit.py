"""A phase that edits weights, in place of a training."""

from __future__ import annotations

import math
import time
from pathlib import Path

from unlearnkit.edits.matching import config_problems, refuse
from unlearnkit.edits.task_vector import Add, Negate
from unlearnkit.errors import RecipeError
from unlearnkit.files import write_json, write_text
from unlearnkit.runs.facts import peak_memory_mb
from unlearnkit.runs.folder import RunSummary, make_folder
from unlearnkit.runs.phases.phase import Base, Phase, with_base
from unlearnkit.runs.phases.yaml_text import without_secrets

EDITS = {each.registered_name: each for each in (Negate, Add)}
"""The edits of one model by another, by name."""


class Edit(Phase):
    """Adds what the phases before learned to a model, or takes it away from it.

    ``θ = θ_base ± scale·(θ_before - θ_base)``, where ``θ_before`` is the model of the phase before.

    Args:
        phase: Its folder in the run folder.
        name: ``negate`` or ``add``.
        base: The model that those phases started from.
        scale: Factor of the difference.

    Raises:
        RecipeError: For another name, or a scale that is not finite.

    References:
        Ilharco et al. 2023, "Editing models with task arithmetic", arXiv 2212.04089; Liu et al.
        2024 (SKU), arXiv 2402.10058, stage 2.
    """

    trains = False

    def __init__(self, phase: str, name: str, base: Base, scale: float = 1.0) -> None:
        if name not in EDITS:
            raise RecipeError(f"expected {' or '.join(map(str, EDITS))}, found '{name}'")
        if not math.isfinite(scale):
            raise RecipeError(f"scale: expected a finite number, found {scale}")
        self.edit, self.base, self.scale = name, base, scale
        given = with_base({"name": name, "scale": scale}, base)
        super().__init__(phase, {"edit": given})

    def check(self) -> None:
        """Checks that there is a model."""
        refuse(list(config_problems(self.base, [])), "Give edit.base a model.")

    def run(self, base: Base, folder: Path, ckpt_path: str | None = None) -> Path:
        """Writes the edited model; an interrupted edit starts again."""
        started = time.monotonic()
        make_folder(folder)
        write_text(folder / "recipe.yaml", without_secrets(self.text(base)))
        EDITS[self.edit](self.base, [base], self.scale).write(folder / "model")
        summary = RunSummary(self.name, 0, 0, None, folder, round(time.monotonic() - started, 2))
        summary.peak_memory_mb = peak_memory_mb()
        write_json(folder / "summary.json", summary.as_json())
        return folder
