"""Suites from the words of a command line."""

import pytest

from unlearnkit.cli.recipe.suites import chosen_suites, suites_of
from unlearnkit.data.streams.qa import QAStream
from unlearnkit.errors import RecipeError, UserError


def test_names_and_mappings_may_be_mixed():
    found = suites_of(["copyright", "[{name: copyright, limit: 3}, harmful]"])
    assert [each.name for each in found] == ["copyright", "copyright", "harmful"]
    assert [found[0].limit, found[1].limit] == [64, 3]


def test_files_are_those_of_copyright():
    (suite,) = chosen_suites(None, "f.jsonl", "{name: qa, path: n.jsonl}")
    assert (suite.name, suite.sources["forget"]) == ("copyright", "f.jsonl")
    assert isinstance(suite.sources["normal"], QAStream)
    assert chosen_suites(None, None, None) == []


def test_both_ways_at_once_are_refused():
    with pytest.raises(UserError, match="--suite says where its rows are"):
        chosen_suites(["tofu"], "f.jsonl", None)
    with pytest.raises(UserError, match="--normal: no rows to forget"):
        chosen_suites(None, None, "n.jsonl")
    with pytest.raises(RecipeError, match=r"--forget: .* is not YAML"):
        chosen_suites(None, "{a: [", None)
    with pytest.raises(RecipeError, match=r"--suite: found the alias '\*a' inside of what"):
        chosen_suites(["&a [*a]"], None, None)
