"""Pool of answers, drawn reproducibly and without replacement."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from unlearnkit.data.cut import Cut
from unlearnkit.data.example import Example
from unlearnkit.data.plan import Order, derived_seed, permutation
from unlearnkit.data.rows.packed import Mapped
from unlearnkit.data.rows.same import KeysOf

Ids = Sequence[int]
_BATCH = 1000
_KEPT = 2**14


class Answer(NamedTuple):
    """An answer of a pool."""

    ids: tuple[int, ...]
    source: str


class AnswerPool:
    """Answers that are walked pass after pass, each pass in a random order of its own.

    What is drawn are places in the pool: answers are told apart by a key of 64 bits each, and
    their ids are looked at only where one has to be cut.

    Args:
        key: Names the pool, so that two pools of one seed draw differently.
        answers: The answers, as often as each is to come in a pass.
        max_length: Longest sequence in tokens; answers are cut to fit behind a prompt.
        seed: Seed of the draws.
        keep_own: Whether a prompt may get its own answer, or one answer twice.
        keys_of: Tells answers that say the same; by default those of the same ids do.

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
        self._key, self._answers, self._seed = key, answers, seed
        self._max_length, self._keep_own = max_length, keep_own
        self._keys_of = keys_of or _keys_of_ids
        self._lengths = array("q", (len(answer.ids) for answer in answers))
        self._keys = array("Q") if keep_own else self.keys(Mapped(answers, _ids_of))
        self._keys_when_cut: dict[tuple[int, int], int] = {}
        self._distinct = self._of_distinct_ids()

    def __len__(self) -> int:
        """Answers in one pass."""
        return len(self._answers)

    def keys(self, answers: Sequence[Ids]) -> array[int]:
        """Keys of answers: two that say the same have the same one."""
        parts = (answers[start : start + _BATCH] for start in range(0, len(answers), _BATCH))
        return array("Q", (key for part in parts for key in self._keys_of(part)))

    def serves(self, own: int, room: int) -> bool:
        """Whether there is an answer for a prompt.

        Args:
            own: Key of the prompt's own answer.
            room: Tokens that fit behind the prompt.
        """
        if self._keep_own:
            return bool(self._answers)
        return any(self._key_of(place, room) != own for place in self._distinct)

    def count_own(self, owns: Sequence[Ids], keys: Sequence[int], *, reworded: bool = False) -> int:
        """Answers that say the same as the own answer of one of some prompts.

        Args:
            owns: The prompts' own answers.
            keys: Their keys.
            reworded: Count those alone that are no prompt's own token for token.
        """
        same = np.flatnonzero(np.isin(self._keys, keys))
        if not reworded:
            return len(same)
        alike = np.flatnonzero(np.isin(keys, np.asarray(self._keys)[same]))
        ids = {tuple(owns[place]) for place in alike.tolist()}
        return sum(self._answers[place].ids not in ids for place in same.tolist())

    def choose(self, own: int, room: int, first: int, count: int) -> list[int]:
        """Places in the pool of the answers to one prompt.

        Unless the pool keeps them they are other than the prompt's own, and than each other as
        far as the pool allows.

        Args:
            own: Key of the prompt's own answer.
            room: Tokens that fit behind the prompt.
            first: Place of the first answer in the endless walk through the pool.
            count: Number of answers.
        """
        walked = self._walk(first, count)
        if self._keep_own:
            return walked
        chosen: list[int] = []
        taken = {own}
        for position, place in enumerate(walked, start=first):
            if self._key_of(place, room) in taken:
                place = self._instead(position, own, room, taken)
            taken.add(self._key_of(place, room))
            chosen.append(place)
        return chosen

    def walked(self, owns: Order, rooms: Order, first: int, count: int) -> tuple[Order, Order]:
        """Tokens that successive prompts get if each takes the next answers as they come.

        Args:
            owns: ``[n]`` keys of the prompts' own answers.
            rooms: ``[n]`` tokens that fit behind each prompt.
            first: Place of the first answer in the endless walk through the pool.
            count: Answers of each prompt.

        Returns:
            ``[n]`` tokens, and ``[n]`` whether `choose` may take others for a prompt: where one is
            its own, comes twice, or is cut.
        """
        places = np.array(self._walk(first, len(owns) * count)).reshape(-1, count)
        lengths = np.frombuffer(self._lengths, np.int64)[places]
        tokens = np.minimum(lengths, rooms[:, None]).sum(1)
        if self._keep_own:
            return tokens, np.zeros(len(owns), bool)
        keys = np.frombuffer(self._keys, np.uint64)[places]
        keys.sort(1)
        unsure = (lengths > rooms[:, None]).any(1) | (keys == owns[:, None]).any(1)
        return tokens, unsure | (keys[:, 1:] == keys[:, :-1]).any(1)

    def answer(self, place: int, room: int) -> Answer:
        """The answer at a place of the pool, cut to so many tokens."""
        answer = self._answers[place]
        return answer if len(answer.ids) <= room else answer._replace(ids=answer.ids[:room])

    def cuts(self, rooms: Sequence[int]) -> Cut:
        """How much is cut off over all pairs of a prompt and an answer of the pool.

        Args:
            rooms: Tokens that fit behind each prompt.
        """
        return Cut.of_pairs(np.asarray(self._lengths), np.asarray(rooms))

    def length(self, place: int, room: int) -> int:
        """Tokens of that answer."""
        return min(self._lengths[place], room)

    def room(self, prompt_tokens: int) -> int:
        """Tokens that fit behind a prompt of so many."""
        return self._max_length - prompt_tokens

    def draw(self, own: Example, first: int, count: int) -> Iterator[Answer]:
        """Answers to one prompt, as `choose` chooses them.

        Args:
            own: The prompt with its own answer.
            first: Place of the first answer in the endless walk through the pool.
            count: Number of answers.
        """
        (key,) = self.keys([own.response_ids])
        room = self.room(len(own.prompt_ids))
        return (self.answer(place, room) for place in self.choose(key, room, first, count))

    def _walk(self, first: int, count: int) -> list[int]:
        found: list[int] = []
        size = len(self._answers)
        while len(found) < count:
            turn, place = divmod(first + len(found), size)
            order = permutation(derived_seed(self._seed, self._key, turn), size)
            found += order[place : place + count - len(found)].tolist()
        return found

    def _instead(self, position: int, own: int, room: int, taken: set[int]) -> int:
        """Another answer: from a random place of the pool on, the first that is not taken."""
        size = len(self._distinct)
        start = derived_seed(self._seed, self._key, "instead", position) % size
        other = None
        for step in range(size):
            place = self._distinct[(start + step) % size]
            key = self._key_of(place, room)
            if key not in taken:
                return place
            if key != own and other is None:
                other = place
        assert other is not None, "each prompt was checked to have another answer"
        return other

    def _key_of(self, place: int, room: int) -> int:
        if self._lengths[place] <= room:
            return self._keys[place]
        if (place, room) not in self._keys_when_cut:
            if len(self._keys_when_cut) >= _KEPT:
                self._keys_when_cut.clear()
            (key,) = self.keys([self._answers[place].ids[:room]])
            self._keys_when_cut[place, room] = key
        return self._keys_when_cut[place, room]

    def _of_distinct_ids(self) -> Sequence[int]:
        """Places of answers of which no two have the same ids."""
        _, which, counts = np.unique(self._keys, return_inverse=True, return_counts=True)
        shared = np.flatnonzero(counts[which] > 1)
        if not len(shared):
            return range(len(self._keys))
        identities: list[object] = list(self._keys)
        for place in shared.tolist():
            identities[place] = self._answers[place].ids
        return array("q", {each: place for place, each in enumerate(identities)}.values())


def _ids_of(answer: Answer) -> Ids:
    return answer.ids


def _keys_of_ids(answers: Sequence[Ids]) -> list[int]:
    digests = (blake2b(array("q", ids).tobytes(), digest_size=8).digest() for ids in answers)
    return [int.from_bytes(digest) for digest in digests]
