from __future__ import annotations

import pytest

from unlearnkit.cli.recipe.names import dotted, entries, expand, family_at, split_entry
from unlearnkit.errors import RecipeError
from unlearnkit.families import OBJECTIVES, ROBUST, SUITES


def test_the_short_form_is_written_out_and_the_key_may_be_the_name() -> None:
    tree = {"model": {"objectives": {"npo": None, "forget": {"name": "ga", "weight": 2}}}}
    found = expand(tree)["model"]["objectives"]
    assert found["npo"]["class_path"].endswith(".NPO")
    assert found["forget"]["class_path"].endswith(".GradientAscent")
    assert found["forget"]["init_args"] == {"weight": 2}
    assert tree["model"]["objectives"]["npo"] is None


def test_optimizers_and_callbacks_are_found_by_class_name_too() -> None:
    tree = {
        "model": {"optimizer": {"name": "sgd", "lr": 1}},
        "trainer": {"callbacks": ["collapse_stop", "EarlyStopping"]},
    }
    found = expand(tree)
    assert found["model"]["optimizer"] == {"class_path": "torch.optim.SGD", "init_args": {"lr": 1}}
    paths = [each["class_path"] for each in found["trainer"]["callbacks"]]
    assert paths[0].endswith(".CollapseStop")
    assert paths[1] == "lightning.pytorch.callbacks.EarlyStopping"


def test_a_stream_of_a_suite_is_expanded_below_it() -> None:
    found = expand({"evaluate": [{"name": "copyright", "forget": {"name": "qa", "path": "a"}}]})
    stream = found["evaluate"][0]["init_args"]["forget"]
    assert stream["class_path"].endswith(".QAStream")


def test_an_entry_that_cannot_be_resolved_says_why() -> None:
    tree = {"model": {"objectives": {"forget": {"weight": 1}}}, "evaluate": [{"limit": 2}]}
    objective, suite = entries(tree)
    assert "it gives no name, and no objective is named 'forget'" in str(objective.error)
    assert "no name" in str(suite.error)
    with pytest.raises(RecipeError, match=r"model\.objectives\.forget: it gives no name"):
        expand(tree)


def test_forms_of_an_entry() -> None:
    assert split_entry("npo") == ("npo", {})
    assert split_entry({"class_path": "a.B", "init_args": {"x": 1}}) == ("a.B", {"x": 1})
    for wrong, said in ((3, "found 3"), ({"class_path": "a", "x": 1}, "'x' beside class_path")):
        with pytest.raises(RecipeError, match=said):
            split_entry(wrong)


def test_paths() -> None:
    assert dotted(("evaluate", 0, "name")) == "evaluate[0].name"
    assert family_at(("model", "objectives", "forget")) is OBJECTIVES
    assert family_at(("evaluate", 0)) is SUITES
    assert family_at(("model", "base")) is None
    # `--model.robust.name sam` is a key of the one method, and no entry.
    assert family_at(("model", "robust", 0)) is ROBUST
    assert family_at(("model", "robust", "name")) is None
