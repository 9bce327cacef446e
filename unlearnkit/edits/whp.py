"""WHP: lowers the logits that further training on forget rows raises."""

from __future__ import annotations

from pathlib import Path

from unlearnkit.edits.base import Edit, Model
from unlearnkit.edits.logits import write_combined


class Whp(Edit, name="whp"):
    """Lower what further training raises: base - alpha * relu(reinforced - base).

    Args:
        base: The model, left as it is. It is pointed at, and must stay where it is.
        reinforced: The model trained further on the forget set, pointed at too.
        alpha: Factor of the raise.

    References:
        Eldan and Russinovich 2023, "Who's Harry Potter?", arXiv 2310.02238, eq. 1; see
        `unlearnkit.functional.whp_logits`.
    """

    def __init__(self, base: Model, reinforced: Model, alpha: float = 1.0) -> None:
        self.parts = {"base": base, "reinforced": reinforced}
        self.alpha = alpha

    def write(self, out: str | Path) -> Path:
        """Writes ``z = z_base − alpha·ReLU(z_reinforced − z_base)``."""
        return write_combined("whp", {"alpha": self.alpha}, self.parts, out)
