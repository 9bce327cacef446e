"""Refusals to the prompts of another stream."""

from __future__ import annotations

from pathlib import Path

from unlearnkit.data.streams.base import OnBadRows
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
        answers_field: The file's column that holds the refusals.
        per_prompt: Refusals per prompt.
        explode: The file's column holds arrays of texts, each of which is a refusal.
        split: A split, or a part of one such as ``train[:70%]``; a file is ``train``.
        config: Configuration of a data set on the Hub, or file of a folder.
        on_bad_rows: ``error`` stops at refusals that cannot be used and names all of them;
            ``drop`` leaves them out and logs how many.
        rows_at: Where the rows of the file stand in its objects, such as ``data``.
        separator: Stands between the texts of the file's column, such as ``"; "``, each of which
            is a refusal.

    Raises:
        RecipeError: If ``per_prompt`` is below 1.

    References:
        Maini et al., 2024, arXiv:2401.06121 (TOFU, "I don't know" answers).
    """

    def __init__(
        self,
        prompts: str = "forget",
        answers: str | None = None,
        answers_field: str = "response",
        per_prompt: int = 1,
        explode: bool = False,
        split: str = "train",
        config: str | None = None,
        on_bad_rows: OnBadRows = "error",
        rows_at: str | None = None,
        separator: str | None = None,
    ) -> None:
        pool = str(REFUSALS) if answers is None else answers
        super().__init__(
            prompts,
            pool,
            answers_field,
            per_prompt,
            explode,
            split,
            config,
            on_bad_rows,
            rows_at,
            separator,
        )
