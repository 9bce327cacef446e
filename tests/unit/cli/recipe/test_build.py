from __future__ import annotations

import gc
import weakref
from pathlib import Path

from unlearnkit.cli.recipe.build import RecipeCLI, read_again, written
from unlearnkit.cli.recipe.document import read

RECIPES = Path(__file__).parents[4] / "recipes"


def test_recipes_share_a_parser_that_holds_none_of_them() -> None:
    first = RecipeCLI(read([RECIPES / "copyright.yaml"]), verb="validate")
    parser, module = first.parser, weakref.ref(first.model)
    assert "forget" in first.model.objectives
    del first
    gc.collect()
    assert module() is None
    second = RecipeCLI(read([RECIPES / "methods" / "npo.yaml"]), verb="validate")
    assert second.parser is parser
    assert type(second.model.objectives["forget"]).__name__ == "NPO"


def test_text_is_read_once() -> None:
    # YAML would make a number, a list and nothing of them.
    assert [read_again(text) for text in ("1e3", "[1]", "# a")] == ["1e3", [1], "# a"]
    assert read_again("{a: 'b") == "{a: 'b"


def test_classes_are_written_by_name() -> None:
    tree = {"class_path": "unlearnkit.objectives.NPO", "init_args": {"beta": 0.2}}
    text = written({"model": {"objectives": {"forget": tree}}})
    assert text.splitlines()[2:] == ["    forget:", "      name: npo", "      beta: 0.2"]
