"""Methods laid over a recipe, and their default ranges."""

import pytest

from unlearnkit.cli.recipe.document import Document, read
from unlearnkit.cli.recipe.methods import default_space, method_overrides
from unlearnkit.cli.recipe.overrides import apply
from unlearnkit.cli.recipe.shipped import shipped
from unlearnkit.errors import RecipeError
from unlearnkit.objectives.base import Objective
from unlearnkit.search.space import parse_space


def _mine(**streams: dict[str, str]) -> Document:
    tree = {
        "model": {
            "base": "mine",
            "optimizer": {"name": "AdamW", "lr": 2e-4},
            "objectives": {"old": {"name": "nll"}},
        },
        "data": {"streams": streams},
        "trainer": {"max_steps": 30},
    }
    return Document(tree, "mine.yaml")


FORGET, RETAIN = {"name": "qa", "path": "f.jsonl"}, {"name": "qa", "path": "r.jsonl"}


def test_a_method_takes_the_place_of_the_objectives_and_brings_streams_without_files():
    document = _mine(forget=FORGET, retain=RETAIN)
    apply(document, method_overrides("llmu", document))
    assert not document.mistakes
    model, streams = document.tree["model"], document.tree["data"]["streams"]
    assert [each["name"] for each in model["objectives"].values()] == [
        "gradient_ascent",
        "random_mismatch",
        "retain_kl",
    ]
    assert (model["base"], model["optimizer"]["lr"]) == ("mine", 2e-4)
    assert (streams["forget"], streams["retain"]) == (FORGET, RETAIN)
    assert streams["mismatch"]["name"] == "mismatch"
    assert "path" not in streams["mismatch"]


def test_a_stream_of_files_that_lacks_is_told():
    document = _mine(forget=FORGET)
    with pytest.raises(RecipeError, match="simnpo: it reads the stream retain"):
        method_overrides("simnpo", document)


def test_an_unknown_method_is_told_with_the_nearest():
    with pytest.raises(RecipeError, match=r"no method 'simpo'\. Did you mean 'simnpo'"):
        method_overrides("simpo", _mine())


def test_a_choice_of_the_recipe_comes_first():
    document = _mine(forget=FORGET)
    document.tree["choices"] = {"method": {"simnpo": {"model.objectives": {"a": {"name": "npo"}}}}}
    apply(document, method_overrides("simnpo", document))
    assert document.tree["model"]["objectives"] == {"a": {"name": "npo"}}
    assert "model.objectives.a.beta" in default_space(document.tree)


def test_ranges_are_those_of_the_objectives_and_of_the_recipe():
    document = _mine(forget=FORGET, retain=RETAIN)
    document.tree["tune"] = {
        "search": {
            "model.objectives.old.weight": {"log": [1, 2]},
            "model.optimizer.lr": {"log": [1e-6, 1e-5]},
        }
    }
    apply(document, method_overrides("simnpo", document))
    assert default_space(document.tree) == {
        "model.optimizer.lr": {"log": [1e-6, 1e-5]},
        "trainer.max_steps": {"int": [10, 60]},
        "model.objectives.forget.beta": {"log": [0.5, 10.0]},
        "model.objectives.forget.gamma": {"uniform": [0.0, 2.0]},
        "model.objectives.retain.weight": {"log": [0.1, 10.0]},
    }


@pytest.mark.parametrize("name", sorted(Objective.registered()))
def test_an_objective_takes_both_ends_of_its_ranges(name):
    objective = Objective.resolve(name)
    if not objective.ranges:
        return
    for setting, each in parse_space(dict(objective.ranges)).items():
        for value in each.corners:
            assert getattr(objective(**{setting: value}), setting) == value


@pytest.mark.parametrize("name", sorted(each for each in shipped() if each.startswith("methods/")))
def test_each_method_has_ranges(name):
    space = default_space(read([shipped()[name]]).tree)
    assert len(parse_space(space)) >= 2
    assert "model.optimizer.lr" in space
