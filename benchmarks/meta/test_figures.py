"""Figures by hand, and metrics with a known answer."""

import random
from statistics import fmean

import pytest

from benchmarks.meta import figures
from benchmarks.meta.evaluating import faithfulness
from benchmarks.meta.zoo import members

HALVES = [m for m in members() if m.made.half in ("knows", "does not")]


def test_the_area_counts_pairs_in_order_and_ties_half():
    assert figures.auc([3.0, 2.0], [1.0, 2.0]) == (1 + 1 + 1 + 0.5) / 4


def test_a_constant_metric_gets_exactly_one_half():
    found = faithfulness(dict.fromkeys(HALVES, 0.3))
    assert found["faithfulness"] == 0.5
    assert found["interval"][0] < 0.5 < found["interval"][1]
    assert found["noise"] is None


def test_a_perfect_metric_gets_one_and_its_interval_still_has_a_width():
    found = faithfulness({m: float(m.made.half == "knows") for m in HALVES})
    assert found["faithfulness"] == 1.0
    low, high = found["interval"]
    # 20 and 20 without a pair out of order: an area of 0.8 would be refuted, one of 0.95 not.
    assert 0.8 < low < 0.95
    assert high == 1.0
    assert found["noise"] == 0.0


def test_a_random_metric_gets_one_half_and_its_interval_says_so():
    areas, covered = [], 0
    for seed in range(200):
        drawn = random.Random(seed)
        found = faithfulness({m: drawn.random() for m in HALVES})
        areas.append(found["faithfulness"])
        covered += found["interval"][0] <= 0.5 <= found["interval"][1]
    assert abs(fmean(areas) - 0.5) <= 0.02
    assert covered >= 180


@pytest.mark.parametrize("area", [0.7, 0.9])
def test_the_interval_covers_a_planted_area(area):
    # Normal values a distance apart have a known area: Phi(distance / sqrt 2).
    from scipy.stats import norm

    distance = 2**0.5 * float(norm.ppf(area))
    covered = 0
    for seed in range(200):
        drawn = random.Random(seed)
        knows = [drawn.gauss(distance, 1) for _ in range(20)]
        others = [drawn.gauss(0, 1) for _ in range(20)]
        low, high = figures.auc_interval(figures.auc(knows, others), 20, 20)
        covered += low <= area <= high
    assert covered >= 180


def test_the_interval_ends_where_the_area_is_refuted():
    low, high = figures.auc_interval(0.8, 10, 15)
    for area in (low, high):
        q1, q2 = area / (2 - area), 2 * area**2 / (1 + area)
        variance = (area * (1 - area) + 9 * (q1 - area**2) + 14 * (q2 - area**2)) / 150
        assert abs(0.8 - area) / variance**0.5 == pytest.approx(1.959963984540054, rel=1e-6)


def test_relearning_is_held_against_what_gold_gains():
    assert figures.relearning(0.2, 0.6, 0.2, 0.3) == pytest.approx(0.25)  # 0.1 over 0.4
    assert figures.relearning(0.2, 0.25, 0.2, 0.3) == 1.0  # no more than gold
    assert figures.relearning(0.2, 0.1, 0.2, 0.3) == 1.0  # nothing comes back
    assert figures.relearning(0.2, 0.6, 0.3, 0.2) == 0.0  # gold gains nothing


def test_coarse_weights_leave_a_share():
    assert figures.quantisation(0.8, 0.6) == pytest.approx(0.75)
    assert figures.quantisation(0.6, 0.8) == 1.0
    assert figures.quantisation(2.0, 4.0, high_knows=False) == 0.5  # twice the loss
    assert figures.quantisation(-4.0, -2.0) == 1.0
    assert figures.quantisation(-2.0, -4.0) == 0.5
    assert figures.quantisation(0.0, 0.0) == 1.0
    assert figures.quantisation(-1.0, 1.0) is None


def test_a_harmonic_mean_is_nothing_as_soon_as_one_part_is():
    assert figures.harmonic(0.5, 1.0) == pytest.approx(2 / 3)
    assert figures.harmonic(0.0, 1.0) == 0.0
    assert figures.harmonic(0.0, 0.0) == 0.0
    assert figures.harmonic(None, 1.0) is None


def test_noise_is_pooled_over_kinds_and_a_share_of_the_distance():
    # Variances 2 of two models and 1 of three: (1 * 2 + 2 * 1) / 3; halves 4 apart.
    by_kind = {"a": [1.0, 3.0], "b": [1.0, 2.0, 3.0], "c": [9.0]}
    assert figures.noise(by_kind, 6.0, 2.0) == pytest.approx((4 / 3) ** 0.5 / 4)
    assert figures.noise({"c": [9.0]}, 6.0, 2.0) is None


def test_ranks_are_correlated():
    x, y = [1.0, 2.0, 3.0, 4.0, 5.0], [1.0, 4.0, 9.0, 25.0, 16.0]
    value, (low, high) = figures.rank_correlation(x, y)
    assert value == pytest.approx(0.9)  # 1 - 6 * 2 / (5 * 24)
    assert low < value < high < 1
