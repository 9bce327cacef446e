"""Answers drawn without replacement, from a seed and the number of the draw alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from unlearnkit.data.example import Example
from unlearnkit.data.plan import derived_seed, permutation
from unlearnkit.data.rows.same import KeysOf


class Answer(NamedTuple):
    """An answer of a pool."""

    ids: tuple[int, ...]
    source: str
    key: int | None = None
    """Equal for answers that say the same; None where only equal ids do."""


class AnswerPool:
    """Answers that are walked pass after pass, each pass in a random order of its own.

    Args:
        key: Names the pool, so that two of one seed do not draw alike.
        answers: The answers, as often as each is to come in a pass.
        max_length: Longest sequence in tokens; answers are cut to fit behind a prompt.
        seed: Seed of the draws.
        keep_own: Whether a prompt may get its own answer, or one answer twice.
        keys_of: Tells answers that say the same, beside those of the same ids.

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
        keys_of: KeysOf | None = None,
    ) -> None:
        self._keys_of = None if keep_own else keys_of
        self._own_keys: dict[tuple[int, ...], int] = {}
        if self._keys_of is not None:
            keys = self._keys_of([answer.ids for answer in answers])
            answers = [a._replace(key=key) for a, key in zip(answers, keys, strict=True)]
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
        return any(not self._is_own(self._cut(answer, own), own) for answer in self._distinct)

    def count_own(self, prompts: Iterable[Example], *, reworded: bool = False) -> int:
        """Answers that say the same as the own answer of one of these prompts.

        Args:
            prompts: Prompts with their own answers.
            reworded: Count those alone that are no prompt's own token for token.
        """
        ids: set[tuple[int, ...]] = set()
        keys: set[int | None] = set()
        for own in prompts:
            ids.add(own.response_ids)
            keys.add(self._key_of(own))
        keys.discard(None)
        same = [answer.ids for answer in self._answers if answer.key in keys or answer.ids in ids]
        return sum(each not in ids for each in same) if reworded else len(same)

    def draw(self, own: Example, first: int, count: int) -> Iterator[Answer]:
        """Answers to one prompt, cut to fit behind it.

        Unless the pool keeps them they are other than the prompt's own, and than each other as
        far as the pool allows.

        Args:
            own: The prompt with its own answer.
            first: Place of the first answer in the endless walk through the pool.
            count: Number of answers.
        """
        taken: set[tuple[int, ...] | int | None] = {own.response_ids, self._key_of(own)} - {None}
        for position in range(first, first + count):
            answer = self._cut(self._walk(position), own)
            if not self._keep_own and not taken.isdisjoint((answer.ids, answer.key)):
                answer = self._instead(position, own, taken)
            taken |= {answer.ids, answer.key} - {None}
            yield answer

    def _walk(self, position: int) -> Answer:
        turn, place = divmod(position, len(self._answers))
        order = permutation(derived_seed(self._seed, self._key, turn), len(self._answers))
        return self._answers[order[place]]

    def _instead(
        self, position: int, own: Example, taken: set[tuple[int, ...] | int | None]
    ) -> Answer:
        """Another answer: from a random place of the pool on, the first that is not taken."""
        size = len(self._distinct)
        place = derived_seed(self._seed, self._key, "instead", position) % size
        other = None
        for step in range(size):
            answer = self._cut(self._distinct[(place + step) % size], own)
            if taken.isdisjoint((answer.ids, answer.key)):
                return answer
            if not self._is_own(answer, own):
                other = other or answer
        assert other is not None, "each prompt was checked to have another answer"
        return other

    def _is_own(self, answer: Answer, own: Example) -> bool:
        same = answer.key is not None and answer.key == self._key_of(own)
        return same or answer.ids == own.response_ids

    def _key_of(self, own: Example) -> int | None:
        if self._keys_of is None:
            return None
        if own.response_ids not in self._own_keys:
            (self._own_keys[own.response_ids],) = self._keys_of([own.response_ids])
        return self._own_keys[own.response_ids]

    def _cut(self, answer: Answer, own: Example) -> Answer:
        room = self._max_length - len(own.prompt_ids)
        if len(answer.ids) <= room:
            return answer
        ids = answer.ids[:room]
        return Answer(ids, answer.source, self._keys_of([ids])[0] if self._keys_of else None)
