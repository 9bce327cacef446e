"""ULD: subtracts the logits of an assistant of the forget set."""

from __future__ import annotations

from pathlib import Path

from unlearnkit.edits.base import Edit, Model
from unlearnkit.edits.logits import write_combined
from unlearnkit.errors import UserError


class Uld(Edit, name="uld"):
    """Take away the logits of an assistant that knows only the forget set (ULD).

    Args:
        base: The model, left as it is. It is pointed at, and must stay where it is.
        assistant: What recipe edits/uld_assistant trained; it is copied.
        weight: Factor of the assistant's logits.
        relative_top: Tokens below this part of the base's largest probability are left alone.

    References:
        Ji et al. 2024, "Reversing the forget-retain objectives" (ULD), arXiv 2406.08607; see
        `unlearnkit.functional.uld_logits`.
    """

    def __init__(
        self, base: Model, assistant: Model, weight: float = -0.8, relative_top: float = 0.01
    ) -> None:
        if not 0 <= relative_top <= 1:
            raise UserError(f"--relative_top: expected 0 to 1, found {relative_top}")
        self.parts = {"base": base, "assistant": assistant}
        self.arguments = {"weight": weight, "relative_top": relative_top}

    def write(self, out: str | Path) -> Path:
        """Writes ``z = z_base + weight·z_assistant`` with a filter."""
        return write_combined("uld", self.arguments, self.parts, out)
