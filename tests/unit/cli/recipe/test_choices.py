"""Named blocks laid over a recipe."""

import pytest

from unlearnkit.cli.recipe import check
from unlearnkit.cli.recipe.document import Document, read
from unlearnkit.cli.recipe.overrides import apply, read_command_line
from unlearnkit.errors import RecipeError

RECIPE = """\
model:
  base: none
  lora: {r: 8}
  optimizer: {name: AdamW, lr: 1.0e-5}
data:
  streams:
    forget: {name: qa, path: forget10.jsonl}
gold: gold-10
choices:
  size:
    1b: {model: {base: one}}
    3b:
      model: {base: three, lora: null}
      model.optimizer.lr: 5.0e-6
  split:
    forget10: {}
    forget01:
      data.streams.forget.path: forget01.jsonl
      gold: gold-01
      choices:
        size: {3b: {gold: gold-01-of-3b}}
        order: {up: {seed_everything: 1}, down: {seed_everything: 2}}
"""


@pytest.fixture
def chosen(tmp_path):
    def make(*words: str, text: str = RECIPE) -> Document:
        (tmp_path / "mine.yaml").write_text(text)
        line = read_command_line(["-r", str(tmp_path / "mine.yaml"), *words])
        document = read(line.recipes)
        apply(document, line.overrides)
        return document

    return make


def _values(document: Document) -> tuple[object, ...]:
    tree = document.tree
    model = tree["model"]
    path = tree["data"]["streams"]["forget"]["path"]
    return model["base"], model["lora"], model["optimizer"]["lr"], path, tree["gold"]


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ((), ("one", {"r": 8}, 1e-5, "forget10.jsonl", "gold-10")),
        (("--size", "3b"), ("three", None, 5e-6, "forget10.jsonl", "gold-10")),
        (("--split=forget01",), ("one", {"r": 8}, 1e-5, "forget01.jsonl", "gold-01")),
        (
            ("--size", "3b", "--split", "forget01"),
            ("three", None, 5e-6, "forget01.jsonl", "gold-01-of-3b"),
        ),
        # What the command line says of a key stands above what is chosen.
        (
            ("--model.optimizer.lr", "1e-3", "--size", "3b"),
            ("three", None, 1e-3, "forget10.jsonl", "gold-10"),
        ),
    ],
)
def test_a_block_is_laid_over_the_recipe(chosen, words, values) -> None:
    document = chosen(*words)
    assert not document.mistakes
    assert "choices" not in document.tree
    assert _values(document) == values


def test_a_block_may_have_choices_of_its_own(chosen) -> None:
    assert "seed_everything" not in chosen().tree
    document = chosen("--split", "forget01", "--order", "down")
    assert document.tree["seed_everything"] == 2
    assert document.choices == {
        "size": ("1b", ["1b", "3b"]),
        "split": ("forget01", ["forget10", "forget01"]),
        "order": ("down", ["up", "down"]),
    }


def test_a_name_that_is_none_is_told_with_the_nearest(chosen) -> None:
    (mistake,) = chosen("--split", "forget1").mistakes
    assert str(mistake) == (
        "command line: split: there is no 'forget1'. Did you mean 'forget10'? "
        "It has: forget10, forget01."
    )


def test_mistakes_of_a_block_are_told_at_its_line(chosen) -> None:
    document = chosen("--size", "3b")
    assert document.place(("model", "base")).endswith("mine.yaml:13")
    assert document.place(("model", "optimizer", "lr")).endswith("mine.yaml:14")
    assert document.place(("data",)).endswith("mine.yaml:5")


@pytest.mark.parametrize("section", ["[a]", "{size: [1b]}", "{size: {1b: 3}}", "{size: {}}"])
def test_a_section_of_another_form_is_refused(chosen, section) -> None:
    with pytest.raises(RecipeError, match=r"mine\.yaml:2: choices"):
        chosen(text=f"model: {{}}\nchoices: {section}\n")


@pytest.mark.parametrize("name", ["gold", "run_dir", "goals", *check.SECTIONS])
def test_a_choice_that_would_hide_a_section_is_refused(chosen, name) -> None:
    with pytest.raises(RecipeError, match=rf"choices\.{name}: a recipe has a section of that name"):
        chosen(text=f"model: {{}}\nchoices: {{{name}: {{a: {{}}}}}}\n")
