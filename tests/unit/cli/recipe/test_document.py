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


def test_a_number_that_is_not_as_written_is_a_mistake(here) -> None:
    where = "{id: 01, at: 12:30, run: 01e5, b: '01', c: \"02\", 03: 10, d: 0.5}"
    text = f"data:\n  where: {where}\n  n: [0, 1, -007]\n"
    (here / "a.yaml").write_text(text)
    found = [str(each) for each in read([here / "a.yaml"]).mistakes]
    assert [each.removeprefix(f"{here}/a.yaml:") for each in found] == [
        '2: data.where.id: YAML reads 01 as the number 1; quoted, "01", it is as written.',
        '2: data.where.at: YAML reads 12:30 as the number 750; quoted, "12:30", it is as written.',
        '2: data.where.run: YAML reads 01e5 as the number 100000.0; quoted, "01e5", it is as '
        "written.",
        '3: data.n[2]: YAML reads -007 as the number -7; quoted, "-007", it is as written.',
    ]
