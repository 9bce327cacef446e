from __future__ import annotations

import pytest

from unlearnkit.cli.recipe.shipped import find, recipe_name, shipped, summary
from unlearnkit.errors import RecipeError


def test_shipped_recipes_are_found_by_name_with_or_without_suffix(here) -> None:
    path = shipped()["methods/npo"]
    assert find("methods/npo") == find("methods/npo.yaml") == path
    assert recipe_name(path) == "methods/npo"
    assert summary(path)
    assert not summary(path).startswith("#")


def test_an_own_file_comes_first_and_is_named_by_its_stem(here) -> None:
    (here / "copyright").write_text("# Mine.\nmodel: {}\n")
    assert find("copyright").resolve() == here / "copyright"
    assert recipe_name(here / "mine.yaml") == "mine"
    assert summary(here / "copyright") == "Mine."


def test_neither_is_told_with_a_near_one(here) -> None:
    (here / "mine.yaml").touch()
    with pytest.raises(RecipeError, match=r"Did you mean 'mine\.yaml'"):
        find("mne.yaml")
    with pytest.raises(RecipeError, match="is a folder"):
        find(".")
