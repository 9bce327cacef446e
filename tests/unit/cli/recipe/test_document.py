from __future__ import annotations

import pytest

from unlearnkit.cli.recipe.document import Mistake, load_yaml, plain, read
from unlearnkit.errors import RecipeError


def test_numbers_are_read_as_typed_and_keys_are_text() -> None:
    assert load_yaml("{lr: 2e-6, text: '2e-6'}") == {"lr": 2e-6, "text": "2e-6"}
    assert load_yaml("{on: 1, 0x10: 2}") == {"on": 1, "0x10": 2}


def test_each_key_knows_its_line_and_a_later_file_wins(here) -> None:
    (here / "a.yaml").write_text("model:\n  base: tiny\n  lora: null\nevaluate: [x]\n")
    (here / "b.yaml").write_text("model: {lora: {r: 2}}\n")
    document = read([here / "a.yaml", here / "b.yaml"])
    assert document.tree == {"model": {"base": "tiny", "lora": {"r": 2}}, "evaluate": ["x"]}
    assert document.place(("model", "base")) == f"{here}/a.yaml:2"
    assert document.place(("model", "lora", "init_args", "r")) == f"{here}/b.yaml:1"
    assert document.place(("trainer",)) == f"{here}/a.yaml"


def test_a_key_that_stands_twice_is_a_mistake(here) -> None:
    (here / "a.yaml").write_text("data: {}\nmodel: {}\ndata: {}\n")
    (mistake,) = read([here / "a.yaml"]).mistakes
    assert str(mistake) == f"{here}/a.yaml:3: data: this key stands twice in its mapping."
    assert Mistake(("a", 0), "no").heading == "a[0]"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"a: [", ":1: this is not YAML"), (b"- 1", "expected a mapping"), (b"a: \xff", "not UTF-8")],
)
def test_what_is_no_recipe_is_told(here, content, said) -> None:
    (here / "a.yaml").write_bytes(content)
    with pytest.raises(RecipeError, match=said):
        read([here / "a.yaml"])


def test_the_long_form_of_a_key_is_the_short_one() -> None:
    assert plain(("forget", "init_args", "class_path")) == ("forget", "name")
