"""Answers of which each prompt of another stream has its own few."""

from __future__ import annotations

from collections.abc import Sequence

from unlearnkit.data.encoded import EncodedRows, StreamData
from unlearnkit.data.example import Example
from unlearnkit.data.pool import Answer, AnswerPool


class PairedData(StreamData):
    """The draws of a stream that has answers for each row of another.

    A row's answers are walked without replacement, so that each comes equally often over the
    epochs.

    Args:
        name: The stream's name.
        source: Where the answers come from.
        prompts: The stream whose prompts are answered.
        answers: For each of its rows, at least one answer.
        per_prompt: Answers per prompt and draw.
        max_length: Longest sequence in tokens; answers are cut to fit.
        seed: Seed of the draws.
        keep_own: Whether an answer may be the prompt's own, or the same one twice.
    """

    def __init__(
        self,
        name: str,
        source: str,
        prompts: EncodedRows,
        answers: Sequence[Sequence[Answer]],
        per_prompt: int,
        max_length: int,
        seed: int,
        *,
        keep_own: bool = False,
    ) -> None:
        super().__init__(name, source, follows=prompts.name)
        self._prompts, self._per_prompt = prompts, per_prompt
        self._pools = [
            AnswerPool(f"{name}/{row}", each, max_length, seed, keep_own=keep_own)
            for row, each in enumerate(answers)
        ]

    def rows_not_served(self) -> list[int]:
        """Rows whose only answer is the prompt's own."""
        return [
            row
            for row, pool in enumerate(self._pools)
            if not all(pool.serves(own) for own in self._prompts.at(row, 0))
        ]

    def __len__(self) -> int:
        """Rows in one pass: the prompts'."""
        return len(self._prompts)

    def at(self, row: int, occurrence: int) -> list[Example]:
        """The row's prompt with each of its answers; more for a row of several turns."""
        examples = self._prompts.at(row, occurrence)
        # How often the row itself came before: of each pass over the prompts, once.
        visit = occurrence // len(self._prompts)
        return [
            Example(own.prompt_ids, answer.ids, row, answer.source)
            for turn, own in enumerate(examples)
            for answer in self._pools[row].draw(
                own, (visit * len(examples) + turn) * self._per_prompt, self._per_prompt
            )
        ]
