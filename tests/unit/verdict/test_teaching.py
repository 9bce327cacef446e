from __future__ import annotations

import pytest

from unlearnkit.verdict.teaching import teaches


def recipe(streams=None, **objectives):
    return {"model": {"objectives": objectives}, "data": {"streams": streams or {}}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (recipe(forget={"name": "nll"}, retain={"name": "retain_nll"}), True),
        (recipe(nll={"weight": 0.5}, retain={"name": "nll", "stream": "retain"}), True),
        (recipe(forget={"name": "npo"}, retain={"name": "retain_nll"}), False),
        # A weight of 0 leaves an objective out.
        (recipe(forget={"name": "npo", "weight": 0}, retain={"name": "retain_nll"}), True),
        (recipe(forget={"name": "nll", "weight": 0}), False),
        # Answers of other prompts are not taught.
        (recipe({"idk": {}}, idk={"name": "nll", "stream": "idk"}), False),
        (recipe({"other": {"name": "mismatch"}}, a={"name": "nll", "stream": "other"}), False),
        (recipe({"idk": {"name": "qa"}}, idk={"name": "nll", "stream": "idk"}), True),
        ({"edit": {"name": "negate"}}, False),
        ({}, False),
        (recipe(forget={"class_path": "my_losses.Mine"}), False),
    ],
)
def test_what_only_teaches(given, expected):
    assert teaches(given) is expected


def test_of_phases_all_have_to_teach():
    nll, npo = ({"model": {"objectives": {"forget": {"name": name}}}} for name in ("nll", "npo"))
    assert teaches({"phases": [nll, nll]})
    assert not teaches({"phases": [nll, npo]})
    assert not teaches({"phases": [nll, {"edit": {"name": "negate"}}]})
    # What stands above the phases holds for each.
    assert teaches({**nll, "phases": [{"name": "a"}, {"name": "b"}]})
