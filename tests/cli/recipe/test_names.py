"""Written recipes name classes of ours by their names, and all others by their paths."""

import json
from abc import ABC

import pytest
import yaml
from test_plugins import GOOD as PLUGIN

from unlearnkit.families import named
from unlearnkit.registry import Registered

NPO = {"class_path": "unlearnkit.objectives.preference.NPO", "init_args": {"beta": 0.2}}


def test_an_own_class_stays_a_path_although_it_is_registered(command, folder):
    (folder / "my_losses.py").write_text(PLUGIN.replace("shout", "whisper"))
    words = ("--model.objectives.forget", "my_losses.Shout")
    done = command("fit", "-r", "good.yaml", *words, "--print_recipe")
    assert done.code == 0, done.err
    written = yaml.safe_load(done.out)["model"]["objectives"]
    assert written["forget"] == {
        "class_path": "my_losses.Shout",
        "init_args": {"weight": 0.5, "stream": None},
    }
    assert written["retain"]["name"] == "retain_kl"
    (folder / "again.yaml").write_text(done.out)
    again = command("fit", "-r", "again.yaml", "--print_recipe")
    assert (again.code, again.out) == (0, done.out), again.err
    assert "class paths" not in again.err


def test_names_are_those_of_the_family_at_the_place():
    idk = {"class_path": "unlearnkit.objectives.likelihood.IDK", "init_args": {"weight": 2.0}}
    stream = {"class_path": "unlearnkit.data.idk.IdkStream"}
    own = {"class_path": "mine.Suite", "init_args": {"rows": stream}}
    recipe = {
        "model": {"objectives": {"a": idk, "b": stream}, "lora": None},
        "data": {"streams": {"a": stream, "b": idk}},
        "evaluate": [own, "copyright"],
        "phases": [{"name": "one", "model": {"objectives": {"a": NPO}}}, 7],
    }
    before = json.dumps(recipe)
    assert named(recipe) == {
        # What belongs to another family is left alone, to be refused where the recipe is checked.
        "model": {"objectives": {"a": {"name": "idk", "weight": 2.0}, "b": stream}, "lora": None},
        "data": {"streams": {"a": {"name": "idk"}, "b": idk}},
        "evaluate": [
            {"class_path": "mine.Suite", "init_args": {"rows": {"name": "idk"}}},
            "copyright",
        ],
        "phases": [
            {"name": "one", "model": {"objectives": {"a": {"name": "npo", "beta": 0.2}}}},
            7,
        ],
    }
    assert json.dumps(recipe) == before


@pytest.mark.parametrize("broken", [{"model": 7}, {"trainer": {"callbacks": [None]}}, {}])
def test_what_is_no_recipe_is_left_as_it_is(broken):
    assert named(broken) == broken


def test_a_class_with_a_new_name_is_found_by_the_old_one(monkeypatch):
    class Shape(Registered, ABC): ...

    class Disc(Shape, name="disc", formerly=("Circle",)): ...

    assert Shape.at_path("unlearnkit.shapes.Disc") is None  # it is not ours
    monkeypatch.setattr(Disc, "__module__", "unlearnkit.elsewhere")
    assert Shape.at_path("unlearnkit.shapes.Disc") is Disc
    assert Shape.at_path("unlearnkit.shapes.Circle") is Disc
    assert Shape.at_path("unlearnkit.shapes.Square") is None
    assert Shape.at_path("shapes.Disc") is None


def test_a_suite_of_requests_given_by_an_old_path_is_not_run_twice(command, recipe):
    text = """\
model: {objectives: {forget: {name: npo}}}
data: {streams: {forget: {name: qa, path: forget.jsonl}}}
trainer: {max_steps: 1}
evaluate: [{class_path: unlearnkit.gone.Requests, init_args: {limit: 1}}]
requests: [forget.jsonl, retain.jsonl]
"""
    done = command("fit", "-r", recipe(text), "--print_recipe")
    assert done.code == 0, done.err
    (suite,) = yaml.safe_load(done.out)["evaluate"]
    assert (suite["name"], suite["limit"]) == ("requests", 1)
    assert list(suite["streams"]) == ["forget", "retain"]
