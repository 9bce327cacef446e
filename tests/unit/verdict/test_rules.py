from __future__ import annotations

import pytest

from unlearnkit.verdict.rules import read_rules, rules

RULE = {"when": "after > 2 * before", "look": "x", "good": "y", "next": "z"}


def tree(**rule):
    return {
        "verdicts": [{"name": "a", "status": "bad", "means": "b", "rules": [RULE | rule]}],
        "remarks": [],
    }


def test_the_shipped_rules_look_at_something_and_say_what_to_do():
    for kind in rules().kinds:
        assert kind.next or kind.rules, kind.name
        for rule in kind.rules:
            assert rule.attack or rule.roles, rule.look
            assert rule.metric or rule.headline, rule.look
            assert ("{" in rule.next) == bool(rule.instead), rule.look
            assert rule.yields is None or rules().kind(rule.yields).rules, rule.look
    names = [kind.name for kind in rules().kinds]
    assert names == [
        "collapsed", "taught", "damaged", "hardly taught", "not known", "not enough", "relearns",
        "near gold", "forgotten", "not judged",
    ]  # fmt: skip


def test_fields_that_no_rule_has_are_refused():
    (kind,) = read_rules(tree(metric="nll", roles=["forget"], without="gold")).kinds
    assert (kind.rules[0].metric, kind.rules[0].roles) == (("nll",), (("forget",),))
    assert kind.rules[0].without_gold
    assert (kind.rules[0].teaching, kind.rules[0].yields, kind.rules[0].leads) == (None, None, None)
    (kind,) = read_rules(tree(teaching=False, leads="left > forget_left")).kinds
    assert kind.rules[0].teaching is False
    assert kind.rules[0].leads is not None
    assert kind.rules[0].leads.holds({"left": 0.5, "forget_left": 0.25})
    assert read_rules(tree(roles=[["heldout"], ["retain"]])).kinds[0].rules[0].roles == (
        ("heldout",), ("retain",),
    )  # fmt: skip
    with pytest.raises(TypeError, match="metrics"):
        read_rules(tree(metrics="nll"))
    with pytest.raises(ValueError, match="without: expected gold"):
        read_rules(tree(without="before"))
    with pytest.raises(ValueError, match="'later' is not known here"):
        read_rules(tree(when="later > 1"))
