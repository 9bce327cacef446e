"""Refusals to the prompts of another stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unlearnkit.data.rows.memory import RowSource
from unlearnkit.data.streams.mismatch import MismatchStream

REFUSALS = Path(__file__).with_name("refusals.txt")
"""The refusals that ship with the package, one a line."""


class IdkStream(MismatchStream, name="idk"):
    """A refusal to each of another stream's prompts, drawn anew each epoch.

    The pool is walked without replacement, as in a mismatch stream.

    Args:
        prompts: The stream whose prompts are answered.
        answers: The pool: a file (of plain text, each line is a refusal), a data set, or a
            stream whose responses are refusals; by default those that ship with the package.
        per_prompt: Refusals per prompt.
        **file: The column and the rows of a file of refusals, and how they are read; see
            `AnswerStream`.

    Raises:
        RecipeError: If ``per_prompt`` is below 1.

    References:
        Maini et al., 2024, arXiv:2401.06121 (TOFU, "I don't know" answers).
    """

    def __init__(
        self,
        prompts: str = "forget",
        answers: RowSource | None = None,
        per_prompt: int = 1,
        **file: Any,
    ) -> None:
        pool = str(REFUSALS) if answers is None else answers
        super().__init__(prompts=prompts, answers=pool, per_prompt=per_prompt, **file)
