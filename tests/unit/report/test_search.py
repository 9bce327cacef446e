"""Report of a search."""

import re

from unlearnkit.report.search import MetricLine, TrialPoint, search_report, spread

TRIALS = [
    TrialPoint(0, {"lr": 1e-3, "loss": "<npo>"}, 0.5, 0.0, False, False),
    TrialPoint(1, {"lr": 2e-3, "loss": "simnpo"}, 0.25, 0.0, True, True),
    TrialPoint(2, {"lr": 3e-3, "loss": "npo"}, 0.1, 0.2, False, True),
    TrialPoint(3, {"lr": 4e-3, "loss": "npo"}, None, 0.0, False, False),
]


def page(trials=TRIALS, importances=None):
    lines = [MetricLine("forget/nll", "towards gold", ["1", "2", "3", "4", "5", "6"])]
    return search_report(trials, importances or {}, lines, recipe="mine", seeds=3)


def test_the_page_says_which_trial_was_chosen_and_on_which_rows():
    text = page(importances={"lr": 1.0})
    assert "Trial 1 is the nearest that keeps all bounds: distance 0.250" in text
    assert "over 3 seeds" in text
    rows = re.findall(r'<tr><th scope="row">(\d)</th><td>(.*?)</td><td>(.*?)</td>', text)
    assert [number for number, _, _ in rows] == ["1", "0", "2", "3"]
    assert rows[0][1] == "<mark>0.250</mark>"
    assert rows[2][2] == "broken by 0.200"
    assert rows[3][1] == "ended early"
    assert "&lt;npo&gt;" in text
    assert "<npo>" not in text
    assert text.count('class="chart"') == 3


def test_a_search_that_kept_no_bound_says_so():
    broken = [each._replace(broken=0.3) for each in TRIALS]
    text = page(broken)
    assert "No trial keeps all bounds. Trial 1 breaks them least" in text
    assert text.count('class="chart"') == 1  # no history of kept ones, no importances


def test_kinds_of_trials():
    assert [each.kind for each in TRIALS[:3]] == ["keeps all bounds", "chosen", "breaks a bound"]
    assert TRIALS[3]._replace(pareto=True).kind == "on the Pareto front"


def test_spread_over_seeds():
    # Mean 2, sample deviation 1.
    assert spread([1.0, 2.0, 3.0, None]) == "2.000 ± 1.000"
