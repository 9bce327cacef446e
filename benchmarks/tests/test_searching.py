"""The nearest trials of two searches."""

from benchmarks.searching import nearest, told, trials_of
from unlearnkit import search_recipe
from unlearnkit.cli.tuning import STUDY


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


def test_trials_are_read_where_tune_leaves_them(tmp_path):
    folder = tmp_path / "tune" / "tiny_tofu_power" / "npo" / "2026-11-30_00-00-00"
    folder.mkdir(parents=True)

    def run(settings, report):
        report(1, {"f": settings["x"]})
        return {"f": settings["x"], "r": 0.5, "p": 0.0}

    found = search_recipe(
        run, search={"x": {"int": [0, 99]}}, towards={"f": 0}, keep={"r": 0.9, "p": {"at_most": 2}},
        trials=20, storage=f"sqlite:///{folder / STUDY}",
    )  # fmt: skip
    lines = trials_of(tmp_path)
    assert [each["settings"] for each in lines] == [each.settings for each in found.trials]
    ended_early = [each["distance"] is None for each in lines]
    assert ended_early == [each.state == "pruned" for each in found.trials]
    assert any(ended_early)
    # A bound kept by a wide margin does not offset a broken one.
    assert {round(each["broken"], 3) for each in lines if each["distance"] is not None} == {0.4}
    assert nearest(lines, 20) is None
