"""Answers paired with the prompts of another stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from unlearnkit.data.cut import Cut
from unlearnkit.data.encoded import EncodedRows, StreamData
from unlearnkit.data.example import Example
from unlearnkit.data.pool import Answer, AnswerPool
from unlearnkit.data.rows.same import KeysOf


class PairedData(StreamData):
    """The draws of a stream that has answers of its own for each prompt of another.

    A prompt's answers are walked without replacement, so that each comes equally often over the
    epochs.

    Args:
        name: The stream's name.
        source: Where the answers come from.
        prompts: The stream whose prompts are answered.
        answers: For each of its rows, and each sequence of a row, at least one answer.
        per_prompt: Answers per prompt and draw.
        max_length: Longest sequence in tokens; answers are cut to fit.
        seed: Seed of the draws.
        keep_own: Whether an answer may be the prompt's own, or the same one twice.
        keys_of: Tells answers that say the same, beside those of the same ids.
    """

    def __init__(
        self,
        name: str,
        source: str,
        prompts: EncodedRows,
        answers: Sequence[Sequence[Sequence[Answer]]],
        per_prompt: int,
        max_length: int,
        seed: int,
        *,
        keep_own: bool = False,
        keys_of: KeysOf | None = None,
    ) -> None:
        super().__init__(name, source, follows=prompts.name)
        self._prompts, self._per_prompt = prompts, per_prompt
        self._pools = [
            [
                AnswerPool(
                    f"{name}/{row}/{turn}",
                    each,
                    max_length,
                    seed,
                    keep_own=keep_own,
                    keys_of=keys_of,
                )
                for turn, each in enumerate(turns)
            ]
            for row, turns in enumerate(answers)
        ]

    def count_own(self) -> int:
        """Answers that say the same as their prompt's own, and are never drawn."""
        return sum(
            pool.count_own([own.response_ids], pool.keys([own.response_ids]))
            for row in range(len(self))
            for pool, own in self._turns(row)
        )

    def cuts(self) -> Cut | None:
        """How much the maximal length takes from answers behind their prompts."""
        return Cut.total(
            pool.cuts([pool.room(len(own.prompt_ids))])
            for row in range(len(self))
            for pool, own in self._turns(row)
        )

    def rows_not_served(self) -> list[int]:
        """Rows with a prompt whose only answer is its own."""
        return [
            row
            for row in range(len(self))
            if not all(
                pool.serves(pool.keys([own.response_ids])[0], pool.room(len(own.prompt_ids)))
                for pool, own in self._turns(row)
            )
        ]

    def _turns(self, row: int) -> Iterator[tuple[AnswerPool, Example]]:
        """Each sequence of a prompt's row with the pool of its answers."""
        return zip(self._pools[row], self._prompts.at(row, 0), strict=True)

    def __len__(self) -> int:
        """Rows in one pass: the prompts'."""
        return len(self._prompts)

    def at(self, row: int, occurrence: int) -> list[Example]:
        """The row's prompt with each of its answers; more for a row of several turns."""
        # How often the row came before: once in each pass over the prompts.
        visit = occurrence // len(self._prompts)
        return [
            Example(own.prompt_ids, answer.ids, row, answer.source)
            for pool, own in self._turns(row)
            for answer in pool.draw(own, visit * self._per_prompt, self._per_prompt)
        ]
