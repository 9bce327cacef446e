"""Quantised k-means that examples can be taken out of exactly (ERASE)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unlearnkit.errors import UserError
from unlearnkit.models.composite.selection import SCALE, QuantisedKMeans

ARRAYS = ("points", "phases", "assigned", "sums", "counts", "centroids")


def draw(n, width, seed, copies=0):
    """Points in a few groups, some of them there twice, and their keys."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(3, width))
    points = centres[rng.integers(0, 3, size=n)] + 0.3 * rng.normal(size=(n, width))
    keys = [f"{rng.integers(2**32):08x}" for _ in range(n)]
    for copy in range(copies):
        points[n - 1 - copy], keys[n - 1 - copy] = points[copy], keys[copy]
    return points, keys


def same(left, right):
    return left.selected == right.selected and all(
        np.array_equal(getattr(left, name), getattr(right, name)) for name in ARRAYS
    )


@settings(max_examples=150)
@given(
    n=st.integers(5, 24),
    width=st.integers(1, 4),
    k=st.integers(1, 3),
    epsilon=st.sampled_from([0.001, 0.1, 0.5, 2.0, 256.0]),
    copies=st.integers(0, 2),
    seed=st.integers(0, 50),
    gone=st.lists(st.integers(0, 100), min_size=1, max_size=6),
)
def test_deleting_equals_fitting_without(n, width, k, epsilon, copies, seed, gone):
    points, keys = draw(n, width, seed, copies)
    options = {"k": k, "epsilon": epsilon, "steps": 4, "seed": seed}
    index = QuantisedKMeans(points, keys, **options)
    for number in gone:
        if len(set(keys)) <= k:
            break
        at = number % len(keys)
        if len(set(keys) - {keys[at]}) < k and keys.count(keys[at]) == 1:
            continue
        index.delete(at)
        points, keys = np.delete(points, at, axis=0), keys[:at] + keys[at + 1 :]
        assert same(index, QuantisedKMeans(points, keys, **options))


def test_both_ways_of_deleting_are_taken_and_cost_what_they_say():
    points, keys = draw(400, 4, seed=1)
    index = QuantisedKMeans(points, keys, k=3, epsilon=0.5, steps=5)
    done = [index.delete(0) for _ in range(40)]
    cheap = [each for each in done if not each.refitted and not each.reselected]
    assert cheap
    assert {each.operations for each in cheap} == {5 * 4}
    fine = QuantisedKMeans(points, keys, k=3, epsilon=1e-4, steps=5)
    dear = fine.delete(7)
    assert dear.refitted
    assert dear.operations == 5 * 4 + 6 * 399 * 3 * 4


def test_a_coarser_lattice_is_fitted_anew_less_often():
    points, keys = draw(150, 6, seed=2)

    def fits(epsilon):
        index = QuantisedKMeans(points, keys, k=3, epsilon=epsilon, steps=5, seed=3)
        return sum(index.delete(0).refitted for _ in range(60))

    assert fits(0.01) == 60
    # What is left are the deletions of a first centroid.
    firsts = 0
    left = list(keys)
    for _ in range(60):
        firsts += left[0] in sorted(left)[:3]
        left.pop(0)
    assert fits(256.0) == firsts


def test_a_copy_that_goes_leaves_the_choice():
    points, keys = draw(60, 4, seed=4, copies=1)
    index = QuantisedKMeans(points, keys, k=3, epsilon=1.0)
    before = [keys[i] for i in index.selected]
    assert keys[0] == keys[59]
    done = index.delete(59)
    assert not done.refitted
    assert not done.reselected
    assert [index.keys[i] for i in index.selected] == before


def test_centroids_lie_on_the_lattice():
    points, keys = draw(50, 3, seed=5)
    index = QuantisedKMeans(points, keys, k=2, epsilon=0.25, steps=3)
    steps = (index.centroids - index.phases[:, None]) % round(0.25 * SCALE)
    assert not steps[index.counts > 0].any()
    means = index.sums / index.counts[..., None]
    assert np.abs(index.centroids - means).max() <= 0.125 * SCALE


def test_a_fine_lattice_is_plain_k_means():
    sklearn = pytest.importorskip("sklearn.cluster")
    points, keys = draw(80, 3, seed=6)
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    index = QuantisedKMeans(points, keys, k=3, epsilon=1 / SCALE, steps=25)
    first = np.stack([points[keys.index(key)] for key in sorted(keys)[:3]])
    plain = sklearn.KMeans(3, init=first, n_init=1, max_iter=25, tol=0).fit(points)
    np.testing.assert_allclose(index.centroids[-1] / SCALE, plain.cluster_centers_, atol=3e-4)


def test_it_is_saved_and_goes_on(tmp_path):
    points, keys = draw(30, 4, seed=7)
    options = {"k": 3, "epsilon": 0.5, "steps": 4, "seed": 1}
    index = QuantisedKMeans(points, keys, **options)
    index.save(tmp_path / "index.safetensors")
    again = QuantisedKMeans.load(tmp_path / "index.safetensors", keys, **options)
    assert same(index, again)
    assert index.delete(3) == again.delete(3)
    assert same(index, again)


def test_what_is_out_of_range_is_said_together():
    points, keys = draw(5, 2, seed=8)
    with pytest.raises(UserError) as error:
        QuantisedKMeans(points, keys, k=6, epsilon=0.0, steps=0)
    assert all(word in str(error.value) for word in ("--k", "--epsilon", "--steps"))


def test_the_last_examples_stay():
    points, keys = draw(4, 2, seed=9)
    index = QuantisedKMeans(points, keys, k=3)
    index.delete(0)
    state = [getattr(index, name).copy() for name in ARRAYS]
    with pytest.raises(UserError, match="only 2 different ones"):
        index.delete(0)
    assert all(np.array_equal(a, getattr(index, n)) for a, n in zip(state, ARRAYS, strict=True))
