from __future__ import annotations

from unlearnkit.cli.recipe.document import Document, Mistake
from unlearnkit.cli.recipe.phase import Layer, copied, covers, fault_of_name


def test_a_name_is_a_folder_and_given_once() -> None:
    assert fault_of_name("a-1.b", ["a"]) is None
    assert "is given twice" in (fault_of_name("a", ["a"]) or "")
    for wrong in ("../a", "", ".a", "a/b", 3):
        assert "it names a folder" in (fault_of_name(wrong, []) or "")


def test_a_mistake_in_a_key_of_the_phase_stands_below_it() -> None:
    layer = Layer("a", ("phases", 0), Document({}, "a.yaml"), {("model", "lora")})
    own, common = Mistake(("model", "lora", "r"), "no"), Mistake(("data",), "no")
    assert layer.written(own).path == ("phases", 0, "model", "lora", "r")
    assert layer.written(common) == common
    assert covers(("a",), ("a", "b"))
    assert not covers(("a", "b"), ("a",))


def test_a_copy_shares_nothing() -> None:
    tree = {"a": [{"b": 1}]}
    found = copied(tree)
    found["a"][0]["b"] = 2
    assert tree == {"a": [{"b": 1}]}
