"""Role, direction and address of a suite's values, in memory and in files."""

from __future__ import annotations

import pytest

from unlearnkit.errors import RecipeError
from unlearnkit.suites import Copyright, LmEval, MultipleChoice, Requests, Suite
from unlearnkit.suites.meaning import (
    Meaning,
    address,
    as_stored,
    meaning,
    stored_meaning,
    stored_role,
)


def test_a_file_of_an_earlier_version_is_read_by_the_registered_suite():
    assert stored_meaning("copyright-2", "forget/nll").direction == "up"
    assert stored_role("rwku", "forget_level1") == "forget"
    assert stored_role("muse", "verbmem") == "forget"
    assert stored_role("requests", "any name") == "forget"
    assert stored_meaning("nobody's", "forget/nll") == Meaning()


def test_a_file_is_read_by_what_it_says_of_itself():
    stored = {"Own": {"x/y": {"role": "unseen", "direction": "gold", "headline": 2}}}
    assert stored_meaning("Own", "x/y", stored) == Meaning("unseen", "gold", 2)
    assert stored_role("Own", "x", stored) == "unseen"
    broken = {"Own": {"x/y": {"direction": "sideways", "more": 1}}}
    assert stored_meaning("Own", "x/y", broken) == Meaning()
    kept = as_stored(Copyright(), ["heldout/perplexity"])
    found = stored_meaning("copyright", "heldout/perplexity", {"copyright": kept})
    assert found == meaning(Copyright, "heldout/perplexity")


def test_the_cost_is_the_distance_to_gold_where_gold_was_measured():
    recall = meaning(Copyright, "forget/rougeL_recall")
    assert (recall.cost(0.1), recall.cost(0.1, gold=0.3)) == (0.1, pytest.approx(0.2))
    # Rows to keep are judged by their direction, and so is how a text reads.
    assert meaning(Copyright, "heldout/rougeL_recall").cost(0.1, gold=0.3) == -0.1
    assert meaning(Copyright, "forget/distinct_2").cost(0.1, gold=0.3) == -0.1
    assert meaning(MultipleChoice, "forget/chance").cost(0.1, gold=0.3) is None


def test_the_suite_is_left_out_of_an_address_where_one_runs():
    one, two = [Copyright()], [Copyright(), LmEval(["hellaswag"])]
    assert address("forget/nll", one, "x") == "copyright/forget/nll"
    assert address("copyright/forget/nll", one, "x") == "copyright/forget/nll"
    assert address("lm_eval/hellaswag/acc_norm", two, "x") == "lm_eval/hellaswag/acc_norm"
    with pytest.raises(RecipeError, match=r"monitor: no suite measures 'forget/nll'") as caught:
        address("forget/nll", two, "monitor")
    assert "copyright/forget/nll" in str(caught.value.hint)
    # Not measured without a model for it.
    with pytest.raises(RecipeError):
        address("forget/semantic_similarity", one, "x")
    requests = Requests({"first": None})  # pyright: ignore
    assert address("first/probability", [requests], "x") == "requests/first/probability"
    with pytest.raises(RecipeError, match="Did you mean 'first/probability'"):
        address("frist/probability", [requests], "x")


def test_attributes_of_earlier_suites_are_refused_aloud():
    with pytest.raises(TypeError, match="'better' of a suite is now: probes and metrics"):

        class Old(Suite):
            better = {"forget/x": "lower"}

    with pytest.raises(TypeError, match="'figures' of a suite is now: aggregate"):

        class Older(Suite):
            def figures(self, rows):
                return {}
