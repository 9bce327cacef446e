"""Selects in-context examples so that each can be deleted exactly (ERASE)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from unlearnkit.errors import UserError

SCALE = 2**14
"""Points are kept as multiples of its inverse: sums of whole numbers do not depend on order."""
MAX_EPSILON = 256.0
_ARRAYS = ("points", "phases", "assigned", "sums", "counts", "centroids")
Ints = NDArray[np.int64]


class Deletion(NamedTuple):
    """Effect and cost of a deletion."""

    refitted: bool
    """Whether the clusters were computed anew."""
    reselected: bool
    """Whether examples were chosen anew."""
    operations: int
    """Coordinates that were read to decide and do it: what it cost."""


class QuantisedKMeans:
    """k-means whose centroids are rounded to a lattice, and the examples nearest to them.

    After each step of Lloyd's algorithm the centroids are rounded to ``epsilon·Z^H + phase``, with
    a random phase a step. An example that goes rarely moves a rounded centroid, and then all that
    is to be computed is to subtract it from the sums of its clusters: ``steps · H`` operations,
    whatever the number of examples. Otherwise the clusters are fitted anew. In either case the
    whole state is that of a fit without the example, to the bit.

    Args:
        points: ``[n, H]`` embeddings; each is scaled to unit length.
        keys: What each example is recognised by. Equal keys are copies of one example. The first
            centroids are the examples with the ``k`` smallest keys, so keys should be digests.
        k: Examples to choose.
        epsilon: Width of the lattice, for points of unit length; the larger, the fewer fits anew
            and the coarser the clusters.
        steps: Of Lloyd's algorithm.
        seed: Of the phases.

    Raises:
        UserError: If an argument is out of range, or there are fewer than ``k`` different examples.

    References:
        Ginart et al. 2019, "Making AI Forget You: Data Deletion in Machine Learning", arXiv
        1907.05012, algorithm 1 (without its correction for unbalanced clusters and with a fixed
        number of steps, both of which a deletion would have to check too). Muresanu et al. 2024,
        "Unlearnable Algorithms for In-context Learning" (ERASE), arXiv 2402.00751.

    Example:
        >>> points = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]])
        >>> index = QuantisedKMeans(points, ["a", "b", "c", "d"], k=2, epsilon=0.5)
        >>> sorted(index.selected)
        [0, 3]
        >>> index.delete(3).reselected
        True
        >>> again = QuantisedKMeans(points[:3], ["a", "b", "c"], k=2, epsilon=0.5)
        >>> index.selected == again.selected
        True
    """

    points: Ints  # [n, H]
    phases: Ints  # [steps, H]
    assigned: Ints  # [steps, n]
    sums: Ints  # [steps, k, H]
    counts: Ints  # [steps, k]
    centroids: Ints  # [steps, k, H]

    def __init__(
        self,
        points: NDArray[Any],
        keys: Sequence[str],
        k: int,
        epsilon: float = 1.0,
        steps: int = 10,
        seed: int = 0,
    ) -> None:
        if len(points) != len(keys):
            raise ValueError(f"found {len(points)} points and {len(keys)} keys")
        refuse_choice(keys, k, epsilon, steps)
        self.keys = list(keys)
        self._copies = Counter(self.keys)
        self.k, self.epsilon, self.steps, self.seed = k, epsilon, steps, seed
        lengths = np.linalg.norm(np.asarray(points, dtype=np.float64), axis=1, keepdims=True)
        scaled = np.asarray(points, dtype=np.float64) / np.where(lengths == 0, 1.0, lengths)
        self.points = np.rint(scaled * SCALE).astype(np.int64)
        self.phases = np.random.default_rng(seed).integers(
            0, self._width, size=(steps, points.shape[1]), dtype=np.int64
        )
        self.selected: list[int] = []
        """Indices of the chosen examples, one a cluster."""
        self._fit()
        self._select()

    def delete(self, index: int) -> Deletion:
        """Takes an example out; later examples move up by one.

        Args:
            index: Of the example.

        Raises:
            UserError: If fewer than ``k`` different examples would be left; nothing is done then.
            IndexError: If there is no such example.
        """
        key = self.keys[index]
        gone = self._copies[key] == 1
        left = len(self._copies) - gone
        if left < self.k:
            raise UserError(
                f"{self.k} examples are chosen, and only {left} different ones would be left",
                hint="Make a new selection with a smaller k.",
            )
        first = key in self._first
        moved = self._subtract(index)
        operations = self.steps * self.points.shape[1]
        chosen = [self.keys[i] for i in self.selected]
        self.keys.pop(index)
        self._copies[key] -= 1
        if gone:
            del self._copies[key]
        self.points = np.delete(self.points, index, axis=0)
        self.assigned = np.delete(self.assigned, index, axis=1)
        cost = len(self.points) * self.k * self.points.shape[1]
        if moved or (first and gone):
            self._fit()
            self._select()
            return Deletion(True, True, operations + (self.steps + 1) * cost)
        if gone and key in chosen:
            self._select()
            return Deletion(False, True, operations + cost)
        # The same examples; of one that is there several times, the first counts.
        self.selected = [self.keys.index(key) for key in chosen]
        return Deletion(False, False, operations)

    def save(self, file: Path) -> None:
        """Writes everything but the keys."""
        options = {"k": self.k, "epsilon": self.epsilon, "steps": self.steps, "seed": self.seed}
        arrays = {name: np.ascontiguousarray(getattr(self, name)) for name in _ARRAYS}
        arrays["selected"] = np.array(self.selected, dtype=np.int64)
        save_file(arrays, file, metadata={name: str(value) for name, value in options.items()})

    @classmethod
    def load(cls, file: Path, keys: Sequence[str], **options: Any) -> QuantisedKMeans:
        """Loads what `save` wrote.

        Args:
            file: The file.
            keys: Of the examples, in their order.
            **options: ``k``, ``epsilon``, ``steps`` and ``seed``, as they were.
        """
        arrays = load_file(file)
        found = cls.__new__(cls)
        found.keys = list(keys)
        found._copies = Counter(found.keys)
        found.k, found.epsilon = options["k"], options["epsilon"]
        found.steps, found.seed = options["steps"], options["seed"]
        for name in _ARRAYS:
            setattr(found, name, arrays[name])
        found._first = found._smallest()
        found.selected = arrays["selected"].tolist()
        return found

    @property
    def _width(self) -> int:
        return max(1, round(self.epsilon * SCALE))

    def _smallest(self) -> list[str]:
        return sorted(self._copies)[: self.k]

    def _beginning(self) -> Ints:
        return self.points[[self.keys.index(key) for key in self._first]]

    def _fit(self) -> None:
        n, width = self.points.shape
        self.assigned = np.zeros((self.steps, n), dtype=np.int64)
        self.sums = np.zeros((self.steps, self.k, width), dtype=np.int64)
        self.counts = np.zeros((self.steps, self.k), dtype=np.int64)
        self.centroids = np.zeros((self.steps, self.k, width), dtype=np.int64)
        self._first = self._smallest()
        current = self._beginning()
        for step in range(self.steps):
            nearest = self._distances(current).argmin(axis=1)
            self.assigned[step] = nearest
            np.add.at(self.sums[step], nearest, self.points)
            self.counts[step] = np.bincount(nearest, minlength=self.k)
            current = np.stack([self._rounded(step, j, current[j]) for j in range(self.k)])
            self.centroids[step] = current

    def _subtract(self, index: int) -> bool:
        """Subtracts a point from the sums; returns whether a rounded centroid moved."""
        before = self._beginning()
        moved = False
        for step in range(self.steps):
            cluster = self.assigned[step, index]
            self.sums[step, cluster] -= self.points[index]
            self.counts[step, cluster] -= 1
            now = self._rounded(step, cluster, before[cluster])
            moved = moved or not np.array_equal(now, self.centroids[step, cluster])
            before = self.centroids[step]
        return moved

    def _rounded(self, step: int, cluster: int, before: Ints) -> Ints:
        """The nearest lattice point of a cluster's mean; an empty cluster stays where it was.

        In whole numbers, halves upwards: the same whatever was added and subtracted on the way.
        """
        count, phase = self.counts[step, cluster], self.phases[step]
        if count == 0:
            return before
        above = 2 * (self.sums[step, cluster] - count * phase) + count * self._width
        return phase + self._width * (above // (2 * count * self._width))

    def _distances(self, centroids: Ints) -> Ints:
        """Squared distances ``[n, k]``."""
        return np.stack([((self.points - each) ** 2).sum(axis=1) for each in centroids], axis=1)

    def _select(self) -> None:
        """For each cluster in turn, the nearest example that no earlier one has."""
        taken: set[str] = set()
        self.selected = []
        order = np.argsort(np.argsort(np.array(self.keys), kind="stable"), kind="stable")
        for distances in self._distances(self.centroids[-1]).T:
            for index in np.lexsort((order, distances)):
                if self.keys[index] not in taken:
                    break
            taken.add(self.keys[index])
            self.selected.append(int(index))


def refuse_choice(keys: Sequence[str], k: int, epsilon: float, steps: int) -> None:
    """Raises for what examples cannot be chosen with; see `QuantisedKMeans`.

    Raises:
        UserError: With each of the arguments that are out of range.
    """
    different = len(set(keys))
    wrong = {
        f"--k: expected 1 to {different}, the number of different examples, found {k}": (
            not 1 <= k <= different
        ),
        f"--epsilon: expected 1/{SCALE} to {MAX_EPSILON:.0f}, found {epsilon}": (
            not 1 / SCALE <= epsilon <= MAX_EPSILON
        ),
        f"--steps: expected at least 1, found {steps}": steps < 1,
    }
    if found := [message for message, holds in wrong.items() if holds]:
        raise UserError("\n".join(found))
