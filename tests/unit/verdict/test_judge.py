from __future__ import annotations

import pytest

from unlearnkit.suites.fluency import fluency_meanings
from unlearnkit.verdict import judge
from unlearnkit.verdict.values import metric_rows

BEFORE = {
    "forget/rougeL_recall": 1.0, "forget/exact_memorization": 1.0, "normal/rougeL_recall": 1.0,
    "heldout/rougeL_recall": 0.8, "heldout/perplexity": 2.0,
}  # fmt: skip
GOLD = BEFORE | {"forget/rougeL_recall": 0.2, "forget/exact_memorization": 0.4}
LEFT = {"forget/exact_memorization": 0.71}
GOOD = BEFORE | {"forget/rougeL_recall": 0.25, "forget/exact_memorization": 0.5}


def said(after, before=BEFORE, gold=GOLD, intervals=None, attacks=(), fluency=None, **recipe):
    stages = {"before": before, "after": after} | ({"gold": gold} if gold else {})
    suites = {"copyright": stages}
    if fluency:
        suites["fluency"] = {"before": fluency[0], "after": fluency[1]}
    bounds = {"copyright": intervals or {}}
    rows = metric_rows(suites, bounds, {"fluency": fluency_meanings()})
    return judge([row for each in rows.values() for row in each], attacks, **recipe)


def relearn(unlearned, gold=None, metric="others/rougeL_recall", attack="relearn"):
    """Curves of an attack: values at step 0, 5 and 10."""
    curves = {"unlearned": unlearned} | ({"gold": gold} if gold else {})
    return {
        "attack": attack,
        "curves": {
            model: [{"step": 5 * i, metric: value} for i, value in enumerate(values)]
            for model, values in curves.items()
        },
    }


def test_near_gold_names_what_speaks_for_forgetting_and_the_least_kept():
    verdict = said(GOOD | {"heldout/rougeL_recall": 0.76})
    assert verdict.name == "near gold"
    assert [row.address for row in verdict.metrics] == [
        "copyright/forget/rougeL_recall",
        "copyright/heldout/rougeL_recall",
    ]
    assert "copyright/forget/rougeL_recall 0.250, before 1.000, gold 0.200" in verdict.sentence
    assert verdict.notes == ("Relearning not tested.",)


@pytest.mark.parametrize(
    ("changed", "name", "metric", "what"),
    [
        # 3 x 2.0 is 6.0.
        ({"heldout/perplexity": 6.1}, "collapsed", "heldout/perplexity", "fewer steps"),
        ({"heldout/perplexity": 5.9}, "near gold", "forget/rougeL_recall", "two more seeds"),
        # 0.9 x 1.0 is 0.9.
        ({"normal/rougeL_recall": 0.89}, "damaged", "normal/rougeL_recall", "larger weight"),
        ({"normal/rougeL_recall": 0.91}, "near gold", "forget/rougeL_recall", "two more seeds"),
        ({"heldout/rougeL_recall": 0.7}, "damaged", "heldout/rougeL_recall", "of their kind"),
        # A tenth of the way from 0.2 to 1.0 is 0.28; half of that from 0.4 to 1.0 is 0.7.
        ({"forget/rougeL_recall": 0.29}, "not enough", "forget/rougeL_recall", "more epochs"),
        ({"forget/rougeL_recall": 0.27}, "near gold", "forget/rougeL_recall", "two more seeds"),
        ({"forget/exact_memorization": 0.71}, "not enough", "forget/exact_memorization", "satimp"),
    ],
)  # fmt: skip
def test_thresholds(changed, name, metric, what):
    verdict = said(GOOD | changed)
    assert verdict.name == name
    assert verdict.metrics[0].address == f"copyright/{metric}"
    assert what in verdict.next


def test_the_first_verdict_of_the_precedence_is_given():
    nothing = GOOD | {"forget/rougeL_recall": 0.9}
    attacked = [relearn([0.2, 0.9])]
    assert said(nothing, attacks=attacked).name == "not enough"
    lost = nothing | {"normal/rougeL_recall": 0.5}
    assert said(lost, attacks=attacked).name == "damaged"
    assert said(lost | {"heldout/perplexity": 99.0}, attacks=attacked).name == "collapsed"
    assert said(GOOD, attacks=attacked).name == "relearns"


def test_a_full_stop_for_every_answer_is_collapsed_though_it_leads_the_table():
    # Answers of no word have no pairs of words; they are as far from the forget set as can be.
    nothing = {"kept/distinct_2": None, "kept/answer_length": 0.0, "kept/answer_perplexity": 80.0}
    usual = {"kept/distinct_2": 1.0, "kept/answer_length": 6.0, "kept/answer_perplexity": 1.1}
    verdict = said(GOOD, gold=None, fluency=(usual, nothing))
    assert verdict.name == "collapsed"
    assert verdict.metrics[0].address == "fluency/kept/answer_length"
    assert "fluency/kept/answer_length 0.000, before 6.000" in verdict.sentence
    # 0.3 x 6 words are 1.8.
    assert said(GOOD, fluency=(usual, usual | {"kept/answer_length": 1.9})).name == "near gold"
    assert said(GOOD, fluency=(usual, usual | {"kept/answer_length": 1.7})).name == "collapsed"
    assert said(GOOD, fluency=(usual, usual | {"kept/distinct_2": 0.29})).name == "collapsed"


def test_without_gold_the_starting_model_is_the_measure_and_that_is_said():
    verdict = said(GOOD, gold=None)
    assert verdict.name == "forgotten"
    assert "No gold model was measured" in verdict.notes[0]
    # Half of that before is 0.5.
    verdict = said(GOOD | {"forget/rougeL_recall": 0.51}, gold=None)
    assert verdict.name == "not enough"
    assert "No gold model was measured" in verdict.notes[0]


def test_what_cannot_be_told_from_the_value_before_or_from_gold_is_no_fault():
    lost = GOOD | {"normal/rougeL_recall": 0.85}
    bounds = {"before": {"normal/rougeL_recall": (0.8, 1.0)}}
    assert said(lost).name == "damaged"
    assert said(lost, intervals=bounds).name == "near gold"
    left = GOOD | {"forget/rougeL_recall": 0.4}
    assert said(left).name == "not enough"
    assert said(left, intervals={"gold": {"forget/rougeL_recall": (0.0, 0.45)}}).name == "near gold"


def test_what_the_gold_model_lacks_too_is_no_damage():
    lost = GOOD | {"heldout/rougeL_recall": 0.5}
    assert said(lost).name == "damaged"
    assert said(lost, gold=GOLD | {"heldout/rougeL_recall": 0.5}).name == "near gold"


def test_what_goes_far_beyond_gold_is_remarked():
    gold = GOLD | {"forget/rougeL_recall": 0.4}
    # (0.1 - 0.4) / (1.0 - 0.4) is -0.5.
    verdict = said(GOOD | {"forget/rougeL_recall": 0.1}, gold=gold)
    assert verdict.name == "near gold"
    assert verdict.notes[0].startswith("Beyond the gold model: copyright/forget/rougeL_recall")


def test_questions_of_muse_are_judged_and_a_leak_is_remarked():
    before = {"forget/verbmem": 90.0, "forget/knowmem": 95.0, "forget/privleak": -99.0}
    gold = {"forget/verbmem": 20.0, "forget/knowmem": 30.0, "forget/privleak": 0.0}
    after = {"forget/verbmem": 22.0, "forget/knowmem": 32.0, "forget/privleak": -98.0}

    def verdict(**changed):
        stages = {"before": before, "after": after | changed, "gold": gold}
        rows = metric_rows({"muse": stages}, {}, {})
        return judge([row for each in rows.values() for row in each], ())

    # (32 - 30) / (95 - 30) is 0.03; -98 of -99 is 0.99.
    found = verdict()
    assert found.name == "near gold"
    assert found.notes[0].startswith("Still told from unseen texts: muse/forget/privleak")
    # (94 - 30) / 65 is 0.98, however little is recited.
    assert verdict(**{"forget/knowmem": 94.0}).name == "not enough"
    # -40 of -99 is 0.40.
    assert verdict(**{"forget/privleak": -40.0}).notes == ("Relearning not tested.",)


def test_relearning_is_what_comes_back_beyond_gold():
    assert said(GOOD, attacks=[relearn([0.2, 0.3, 0.5], [0.2, 0.3, 0.45])]).name == "near gold"
    verdict = said(GOOD, attacks=[relearn([0.2, 0.3, 0.5], [0.2, 0.3, 0.35])])
    assert verdict.name == "relearns"
    assert verdict.sentence.count("relearn/others/rougeL_recall 0.500, start 0.200, gold 0.350")
    assert "Relearning not tested." not in verdict.notes
    # It was above gold before the attack too, and gained less than 0.05 by it; or 0.05.
    assert said(GOOD, attacks=[relearn([0.5, 0.54], [0.5, 0.4])]).name == "near gold"
    assert said(GOOD, attacks=[relearn([0.5, 0.55], [0.5, 0.4])]).name == "relearns"
    # Its own rows an attacker learns by heart.
    trained = relearn([0.2, 1.0], [0.2, 0.3], metric="trained/rougeL_recall")
    assert said(GOOD, attacks=[trained]).name == "near gold"
    # Without gold, by more than 0.2.
    assert said(GOOD, gold=None, attacks=[relearn([0.2, 0.39])]).name == "forgotten"
    assert said(GOOD, gold=None, attacks=[relearn([0.2, 0.41])]).name == "relearns"
    coarse = relearn([0.2, 0.6], [0.2, 0.2], "forget/rougeL_recall", "quantize")
    verdict = said(GOOD, attacks=[coarse])
    assert verdict.name == "relearns"
    assert "Relearning not tested." in verdict.notes
    still = relearn([0.5, 0.54], [0.4, 0.4], "forget/rougeL_recall", "quantize")
    assert said(GOOD, attacks=[still]).name == "near gold"


def test_a_run_that_teaches_is_not_called_collapsed():
    """Its answers are unlikely under a model that did not know them."""
    before = BEFORE | {"forget/rougeL_recall": 0.03}
    perplexity = ({"kept/answer_perplexity": 11.0}, {"kept/answer_perplexity": 4.6e5})
    # 1.5 x 0.03 + 0.1 is 0.145.
    taught = said(before | {"forget/rougeL_recall": 0.15}, before, None, fluency=perplexity)
    assert (taught.name, taught.status) == ("taught", "none")
    assert taught.next.startswith("name this run folder as `model.base`")
    assert taught.notes == ()
    below = said(before | {"forget/rougeL_recall": 0.14}, before, None, fluency=perplexity)
    assert below.name == "collapsed"


UNKNOWING = BEFORE | {
    "forget/rougeL_recall": 0.05, "normal/rougeL_recall": 0.04, "heldout/perplexity": 2e5,
    "normal/perplexity": 5.0,
}  # fmt: skip
GOLD_RUN = UNKNOWING | {"normal/rougeL_recall": 0.9, "heldout/perplexity": 1.1}
USUAL = {"kept/distinct_2": 1.0, "kept/answer_length": 6.0, "kept/answer_perplexity": 11.0}
UNLIKELY = USUAL | {"kept/answer_perplexity": 4.6e5}


def taught(after, fluency=UNLIKELY, before=UNKNOWING, teaching=True):
    return said(after, before, None, fluency=(USUAL, fluency), teaching=teaching)


def test_a_run_that_trains_a_gold_model_is_taught_whatever_the_model_before_thinks_of_it():
    found = taught(GOLD_RUN)
    assert (found.name, found.status) == ("taught", "none")
    assert found.metrics[0].address == "copyright/normal/rougeL_recall"
    assert found.next.startswith("name this run folder as `gold`")
    # 1.5 x 0.04 + 0.1 is 0.16. Where it learned less, the model before is no witness either.
    assert taught(GOLD_RUN | {"normal/rougeL_recall": 0.17}).name == "taught"
    little = taught(GOLD_RUN | {"normal/rougeL_recall": 0.15})
    assert (little.name, little.status, little.notes) == ("hardly taught", "warn", ())
    assert "more epochs" in little.next
    # Any other recipe whose answers the model before would not write is collapsed.
    assert taught(GOLD_RUN, teaching=False).name == "collapsed"


@pytest.mark.parametrize(
    ("changed", "fluency"),
    [
        ({"heldout/perplexity": 6.1e5}, {}),
        # 3 x 5 is 15.
        ({"normal/perplexity": 15.1}, {}),
        ({}, {"kept/distinct_2": 0.29}),
        ({}, {"kept/answer_length": 1.7}),
    ],
)
def test_a_teaching_run_that_writes_no_text_is_collapsed(changed, fluency):
    assert taught(GOLD_RUN | changed, UNLIKELY | fluency).name == "collapsed"
    # So is one that was taught the forget rows.
    told = GOLD_RUN | changed | {"forget/rougeL_recall": 1.0}
    assert taught(told, UNLIKELY | fluency).name == "collapsed"


def test_training_on_kept_rows_alone_is_no_teaching_where_the_forget_rows_are_known():
    # 1.5 x 0.65 is 0.975.
    before = UNKNOWING | {"forget/rougeL_recall": 0.65}
    after = GOLD_RUN | {"forget/rougeL_recall": 0.65, "normal/rougeL_recall": 0.97}
    assert taught(after, before=before).name == "not enough"
    assert taught(after | {"normal/rougeL_recall": 0.98}, before=before).name == "taught"


def test_rows_that_were_known_before_need_no_teaching():
    # 1.5 x 0.8 + 0.1 is above 1, which no training reaches.
    known = UNKNOWING | {"normal/rougeL_recall": 0.8}
    assert taught(GOLD_RUN, before=known).name != "hardly taught"


def test_an_objective_that_the_recipe_uses_is_no_advice():
    assert "`satimp`" in said(GOOD | LEFT).next
    assert "`npo`" in said(GOOD | LEFT, objectives=["satimp", "retain_nll"]).next
    assert "another one" in said(GOOD | LEFT, objectives=["satimp", "npo", "wga"]).next


@pytest.mark.parametrize(("known", "told"), [(0.51, False), (0.53, True)])
def test_what_is_known_in_part_is_remarked_on(known, told):
    # A fifth of the way from 0.4 to 1.0 is 0.52.
    verdict = said(GOOD | {"forget/exact_memorization": known})
    assert verdict.name == "near gold"
    assert any(each.startswith("Part of it is still known: copyright/forget/exact_memorization")
               for each in verdict.notes) == told  # fmt: skip


@pytest.mark.parametrize(("gold", "told"), [(0.55, False), (0.65, True)])
def test_a_gold_model_that_says_much_of_it_is_remarked_on(gold, told):
    verdict = said(
        GOOD | {"forget/rougeL_recall": gold}, gold=GOLD | {"forget/rougeL_recall": gold}
    )
    assert verdict.name == "near gold"
    said_so = [each for each in verdict.notes if each.startswith("The gold model says much of it")]
    assert bool(said_so) == told


def test_what_most_likely_helps_is_advised_first():
    before, gold = (
        each | {"unseen/rougeL_recall": each["forget/rougeL_recall"]} for each in (BEFORE, GOLD)
    )

    def after(forget, unseen):
        values = {"forget/rougeL_recall": forget, "unseen/rougeL_recall": unseen}
        return said(GOOD | values, before, gold)

    # The way from 0.2 to 1.0 is 0.8: of 0.6 half is left, of 0.95 94 %.
    far = after(0.6, 0.8)
    assert far.name == "not enough"
    assert "more epochs" in far.next
    assert [row.name for row in far.metrics] == ["forget/rougeL_recall", "unseen/rougeL_recall"]
    # The trained wording is forgotten, or as good as that, and others are not.
    for forget in (0.2, 0.3):
        near = after(forget, 0.95)
        assert near.name == "not enough"
        assert "wordings" in near.next
        assert near.metrics[0].name == "unseen/rougeL_recall"
    # More than 0.3 of the way between the two: from 0.125 on 0.425, which is 0.54.
    assert "more epochs" in after(0.3, 0.53).next
    assert "wordings" in after(0.3, 0.55).next
    assert "more epochs" in said(GOOD | {"forget/rougeL_recall": 0.7, "unseen/rougeL_recall": 0.9},
                                 before, None).next  # fmt: skip


def test_lost_rows_of_the_retain_term_are_advised_on_before_lost_held_out_rows():
    lost = said(GOOD | {"normal/rougeL_recall": 0.85, "heldout/rougeL_recall": 0.1})
    assert lost.name == "damaged"
    assert "larger weight" in lost.next
    assert [row.name for row in lost.metrics] == ["normal/rougeL_recall", "heldout/rougeL_recall"]


@pytest.mark.parametrize("gold", [None, GOLD], ids=["no gold", "gold"])
@pytest.mark.parametrize("after", [0.0, 0.05, 0.09])
def test_rows_that_the_starting_model_hardly_knew_were_not_forgotten(after, gold):
    found = said(
        GOOD | {"forget/rougeL_recall": after}, BEFORE | {"forget/rougeL_recall": 0.09}, gold
    )
    assert found.name == "not known"
    assert f"(copyright/forget/rougeL_recall {after:.3f}, before 0.090" in found.sentence
    assert "chat template" in found.next
    assert ("No gold model" in "".join(found.notes)) == (gold is None)


def test_rows_are_known_from_a_tenth_on():
    after, before = GOOD | {"forget/rougeL_recall": 0.01}, BEFORE | {"forget/rougeL_recall": 0.1}
    assert said(after, before, None).name == "forgotten"
    # What was lost tells more than what was never there.
    lost = said(after | {"heldout/rougeL_recall": 0.1}, before | {"forget/rougeL_recall": 0.01})
    assert lost.name == "damaged"
    # Of another suite they may be known.
    values = {"before": {"forget/verbmem": 90.0}, "after": {"forget/verbmem": 50.0}}
    low = {"before": {"forget/rougeL_recall": 0.01}, "after": {"forget/rougeL_recall": 0.01}}
    rows = metric_rows({"muse": values, "copyright": low}, {})
    assert judge([r for each in rows.values() for r in each]).name != "not known"


def test_nothing_measured_before_and_after_is_said():
    assert said({}, before=BEFORE).name == "not judged"
    assert judge([]).name == "not judged"
