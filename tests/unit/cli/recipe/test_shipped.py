from __future__ import annotations

import pytest

from unlearnkit.cli.recipe.shipped import expected, find, recipe_name, shipped, summary
from unlearnkit.errors import RecipeError, UserError


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


def test_a_table_is_a_file_or_one_of_a_recipe(here) -> None:
    (here / "mine.json").write_text("{}")
    assert expected("mine.json").resolve() == here / "mine.json"
    for name in ("published/tofu", "published/tofu.yaml"):
        assert expected(name) == shipped()["published/tofu"].with_suffix(".expected.json")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("published/wmdp", "the recipe published/wmdp has no published table"),
        ("mine.yaml", "the recipe mine.yaml has no published table"),
        ("published/tofo", "Did you mean 'published/tofu'"),
        ("gone.json", "neither a file gone.json nor a shipped recipe"),
        (".", "neither a file"),
    ],
)
def test_what_has_no_table_is_told_with_the_recipes_that_have_one(here, name, said) -> None:
    (here / "mine.yaml").touch()
    with pytest.raises(UserError, match=said) as caught:
        expected(name)
    assert "published/muse, published/tofu." in str(caught.value.hint)
