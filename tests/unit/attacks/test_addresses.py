from __future__ import annotations

import pytest

from unlearnkit.attacks.addresses import missing_reason, unknown_goals, unmeasured
from unlearnkit.suites import Copyright
from unlearnkit.suites.meaning import Meaning
from unlearnkit.verdict.goals import read_goals
from unlearnkit.verdict.values import MetricRow, Value

KNOWN = Value(0.5)


def rows(*addresses):
    parts = [each.partition("/") for each in addresses]
    return [MetricRow(suite, name, Meaning(), {"after": KNOWN}) for suite, _, name in parts]


ONE = rows("relearn/others/rougeL_recall", "copyright/forget/nll", "fluency/kept/answer_length")


@pytest.mark.parametrize(
    "key",
    [
        "copyright/forget/nll", "forget/nll", "unseen/nll", "copyright/unseen/rougeL_recall",
        "others/rougeL_recall", "tofu/retain/probability", "copyright-2/forget/nll",
        "quantize/forget/exact_memorization", "fluency/kept/distinct_2",
        "pii/forget_direct/exact_email",
    ],
)  # fmt: skip
def test_what_a_suite_or_an_attack_measures_is_known(key):
    assert unknown_goals(read_goals({key: {"at_most": 1}}), ONE) is None


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("copyright/forget/nl", "Did you mean 'copyright/forget/nll'?"),
        ("forget/nlk", "Did you mean 'forget/nll'?"),
        ("relearn/others/rouge", ""),
        ("copyright/frget/nll", "Did you mean 'copyright/forget/nll'?"),
        ("mine/forget/nll", ""),
        ("tofu", ""),
        ("copyright/normal/nll", ""),  # which is of forget rows alone
    ],
)
def test_what_nothing_measures_is_refused_with_what_there_is(key, near):
    error = unknown_goals(read_goals({key: {"at_most": 1}}), ONE)
    assert error is not None
    assert f"goals.{key}: no suite and no attack measures '{key}'." in error.message
    assert near in error.message
    assert error.hint == (
        "Measured here: relearn/others/rougeL_recall, copyright/forget/nll, "
        "fluency/kept/answer_length."
    )


def test_all_goals_are_looked_at_and_a_name_of_two_suites_is_no_name():
    goals = read_goals({"a/b/c": {"at_most": 1}, "forget/nll": {"at_most": 1, "at_least": 0}})
    error = unknown_goals(goals, rows("copyright/forget/nll", "mine/forget/nll"))
    assert error is not None
    assert error.message.splitlines() == [
        "goals.a/b/c: no suite and no attack measures 'a/b/c'.",
        "goals.forget/nll: it was measured more than once; name one of copyright/forget/nll, "
        "mine/forget/nll.",
    ]


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("copyright/forget/nll", "no row held anything to measure"),
        ("forget/nll", "no row held anything to measure"),
        ("unseen/nll", "copyright had no rows 'unseen'"),
        ("copyright/forget/semantic_similarity", "copyright leaves it out with these settings"),
        ("tofu/forget/probability", "`unlearnkit evaluate RUN --suite tofu` measures it"),
        ("quantize/forget/rougeL_recall", "`unlearnkit attack RUN quantize` measures it"),
    ],
)
def test_why_a_metric_is_missing(key, reason):
    assert missing_reason(key, ONE) == reason


@pytest.mark.parametrize(
    ("key", "near"),
    [("copyright/forget/nl", "copyright/forget/nll"), ("forget/nl", "forget/nll")],
)
def test_a_goal_of_a_recipe_is_corrected_in_the_form_in_which_it_was_given(key, near):
    [(name, said)] = unmeasured({key: {"at_most": 1}}, [Copyright()], [], None)
    assert name == key
    assert f"Did you mean '{near}'? Known: {near.removesuffix('nll')}" in said
    assert said.endswith("fluency/kept/answer_perplexity.")
    assert "?." not in said
    assert ". fluency" not in said
