"""UCD: the difference of two small models leads a large one."""

from __future__ import annotations

from pathlib import Path

from unlearnkit.edits.base import Edit, Model
from unlearnkit.edits.logits import write_combined


class Ucd(Edit, name="ucd"):
    """Lead a model by two small ones: base + alpha * (without - trained).

    The small models are of one kind: one was trained without the forget set, the other with it.
    The base is never trained.

    Args:
        base: The model, left as it is. All three are pointed at, and must stay where they are.
        without: The small model that was trained without the forget set.
        trained: The small model that was trained with it.
        alpha: Factor of the difference.

    References:
        Suriyakumar et al. 2025, "UCD: Unlearning in LLMs via contrastive decoding", arXiv
        2506.12097; see `unlearnkit.functional.offset_logits`.
    """

    def __init__(self, base: Model, without: Model, trained: Model, alpha: float = 1.0) -> None:
        self.parts = {"base": base, "without": without, "trained": trained}
        self.alpha = alpha

    def write(self, out: str | Path) -> Path:
        """Writes ``z = z_base + alpha·(z_without − z_trained)``."""
        return write_combined("ucd", {"alpha": self.alpha}, self.parts, out)
