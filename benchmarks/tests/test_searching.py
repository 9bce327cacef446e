"""The nearest trials of two searches."""

from benchmarks.searching import nearest, told


def _lines(sampler, *trials):
    return [
        {"sampler": sampler, "trial": n, "distance": distance, "broken": broken}
        for n, (distance, broken) in enumerate(trials)
    ]


def test_the_nearest_trial_keeps_all_bounds():
    lines = _lines("tpe", (0.4, 0.0), (0.1, 0.2), (None, 1.0), (0.3, -0.1))
    assert [nearest(lines, trials) for trials in (1, 2, 3, 4)] == [0.4, 0.4, 0.4, 0.3]
    assert nearest(_lines("tpe", (0.1, 0.2)), 1) is None


def test_each_sampler_has_a_line_for_each_number_of_trials():
    lines = _lines("random", *[(1 / (n + 2), 0.0) for n in range(12)]) + _lines("tpe", (0.1, 1.0))
    assert told(lines) == [
        "tpe, 1 trials: none keeps the bounds",
        "random, 10 trials: 0.091",
        "random, 12 trials: 0.077",
    ]
