from __future__ import annotations

import pytest

from unlearnkit.cli.recipe.document import Document
from unlearnkit.cli.recipe.overrides import (
    Override,
    apply,
    read_command_line,
    split_options,
    with_values,
)
from unlearnkit.errors import RecipeError


def applied(tree: dict, *words: str) -> Document:
    document = Document(tree, "a.yaml")
    apply(document, read_command_line(list(words)).overrides)
    return document


def test_values_are_read_as_yaml_and_set_by_their_path() -> None:
    document = applied({"data": {"batch_size": 1}}, "--data.batch_size", "4", "--data.a.b=[1, x]")
    assert document.tree == {"data": {"batch_size": 4, "a": {"b": [1, "x"]}}}
    assert document.place(("data", "batch_size")) == "command line"


def test_what_an_override_gives_is_not_changed_by_a_later_one() -> None:
    given = {"name": "SGD", "lr": 0.05}
    place = ("model", "optimizer")
    document = Document({"model": {}}, "a.yaml")
    apply(document, [Override(place, given), Override((*place, "lr"), 0.1)])
    assert document.tree == {"model": {"optimizer": {"name": "SGD", "lr": 0.1}}}
    assert given == {"name": "SGD", "lr": 0.05}


def test_a_plus_adds_to_a_list() -> None:
    assert applied({"evaluate": "a"}, "--evaluate+", "b").tree == {"evaluate": ["a", "b"]}


def test_another_name_keeps_the_arguments_that_it_takes() -> None:
    entry = {"name": "npo", "weight": 0.5, "beta": 0.2}
    document = applied(
        {"model": {"objectives": {"forget": entry}}}, "--model.objectives.forget", "gradient_ascent"
    )
    found = document.tree["model"]["objectives"]["forget"]
    assert found == {"name": "gradient_ascent", "weight": 0.5}


def test_an_entry_that_the_recipe_lacks_is_a_mistake() -> None:
    document = applied(
        {"model": {"objectives": {"forget": {}}}}, "--model.objectives.forgt.weight", "1"
    )
    assert "Did you mean 'forget'?" in document.mistakes[0].message


def test_words_that_are_no_options_are_told() -> None:
    line = read_command_line(["-r", "copyright", "--ckpt_path", "last", "--print_recipe"])
    assert (line.recipes[0].name, line.ckpt_path, line.switches) == (
        "copyright.yaml",
        "last",
        {"--print_recipe"},
    )
    with pytest.raises(RecipeError, match="unexpected 'copyright'"):
        read_command_line(["copyright"])
    with pytest.raises(RecipeError, match="--recipe is given no value"):
        read_command_line(["--recipe"])


def test_options_of_a_verb_and_of_a_recipe_are_told_apart() -> None:
    words = ["--out", "a", "-r", "b", "--seed=1"]
    assert split_options(words, ["--out", "--seed"]) == (["--out", "a", "--seed=1"], ["-r", "b"])
    assert with_values(["--merge", "x", "--merge", "false"], ["--merge"]) == [
        "--merge=true", "x", "--merge", "false",
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["01", "{id: 01}", "[1, 01]"])
def test_a_number_that_is_not_as_written_is_refused(word) -> None:
    with pytest.raises(RecipeError, match="YAML reads 01 as the number 1; quoted"):
        read_command_line(["--data.where", word])
    quoted = word.replace("01", '"01"')
    assert "01" in str(read_command_line(["--data.where", quoted]).overrides[0].value)


def test_yaml_that_stands_for_itself_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"--data.where: found the alias '\*a' inside of what"):
        read_command_line(["--data.where", "&a [*a]"])
