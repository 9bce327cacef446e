"""Answers drawn without replacement, from a seed and the number of the draw alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from unlearnkit.data.example import Example
from unlearnkit.data.plan import derived_seed, permutation


class Answer(NamedTuple):
    """An answer of a pool."""

    ids: tuple[int, ...]
    source: str


class AnswerPool:
    """Answers that are walked pass after pass, each pass in a random order of its own.

    Args:
        key: Names the pool, so that two of one seed do not draw alike.
        answers: The answers, as often as each is to come in a pass.
        max_length: Longest sequence in tokens; answers are cut to fit behind a prompt.
        seed: Seed of the draws.
        keep_own: Whether a prompt may get its own answer, or one answer twice.

    Example:
        >>> pool = AnswerPool("mismatch", [Answer((7,), "a:1"), Answer((8,), "a:2")], 9, seed=0)
        >>> own = Example((1, 2), (7,), row=0, source="f:1")
        >>> [answer.source for answer in pool.draw(own, first=0, count=1)]
        ['a:2']
    """

    def __init__(
        self,
        key: str,
        answers: Sequence[Answer],
        max_length: int,
        seed: int,
        *,
        keep_own: bool = False,
    ) -> None:
        self._key, self._answers, self._seed = key, answers, seed
        self._max_length, self._keep_own = max_length, keep_own
        # A pool of few answers repeated often must not be searched from end to end.
        self._distinct = list({answer.ids: answer for answer in answers}.values())

    def __len__(self) -> int:
        """Answers in one pass."""
        return len(self._answers)

    def serves(self, own: Example) -> bool:
        """Whether there is an answer for this prompt."""
        if self._keep_own:
            return bool(self._answers)
        return any(self._cut(answer, own).ids != own.response_ids for answer in self._distinct)

    def draw(self, own: Example, first: int, count: int) -> Iterator[Answer]:
        """Answers to one prompt, cut to fit behind it.

        Unless the pool keeps them they are other than the prompt's own, and than each other as
        far as the pool allows.

        Args:
            own: The prompt with its own answer.
            first: Place of the first answer in the endless walk through the pool.
            count: Number of answers.
        """
        taken = {own.response_ids}
        for position in range(first, first + count):
            answer = self._cut(self._walk(position), own)
            if answer.ids in taken and not self._keep_own:
                answer = self._instead(position, own, taken)
            taken.add(answer.ids)
            yield answer

    def _walk(self, position: int) -> Answer:
        turn, place = divmod(position, len(self._answers))
        order = permutation(derived_seed(self._seed, self._key, turn), len(self._answers))
        return self._answers[order[place]]

    def _instead(self, position: int, own: Example, taken: set[tuple[int, ...]]) -> Answer:
        """Another answer: from a random place of the pool on, the first that is not taken."""
        size = len(self._distinct)
        place = derived_seed(self._seed, self._key, "instead", position) % size
        other = None
        for step in range(size):
            answer = self._cut(self._distinct[(place + step) % size], own)
            if answer.ids not in taken:
                return answer
            if answer.ids != own.response_ids:
                other = other or answer
        assert other is not None, "each prompt was checked to have another answer"
        return other

    def _cut(self, answer: Answer, own: Example) -> Answer:
        return answer._replace(ids=answer.ids[: self._max_length - len(own.prompt_ids)])
