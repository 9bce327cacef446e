"""Adds a small model's logit change to a large model."""

from __future__ import annotations

from pathlib import Path

from unlearnkit.edits.base import Edit, Model
from unlearnkit.edits.logits import write_combined


class OffsetLogits(Edit, name="offset"):
    """Add a small model's change to a large one's logits: base + alpha * (small_tuned - small).

    Args:
        base: The large model, left as it is. It is pointed at, and must stay where it is.
        small_tuned: The small model after unlearning; it is copied.
        small: The small model before, pointed at.
        alpha: Factor of the difference.

    References:
        Huang et al. 2024, "Offset unlearning for large language models", arXiv 2404.11045; see
        `unlearnkit.functional.offset_logits`.
    """

    def __init__(self, base: Model, small_tuned: Model, small: Model, alpha: float = 1.0) -> None:
        self.parts = {"base": base, "tuned": small_tuned, "small": small}
        self.alpha = alpha

    def write(self, out: str | Path) -> Path:
        """Writes ``z = z_base + alpha·(z_small_tuned − z_small)``."""
        return write_combined("offset", {"alpha": self.alpha}, self.parts, out)
