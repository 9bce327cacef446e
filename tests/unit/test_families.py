from __future__ import annotations

from unlearnkit.families import at, defaults, named, with_plain_lora, without_defaults
from unlearnkit.objectives import NPO

OLD = {"class_path": "unlearnkit.objectives.preference.NPO", "init_args": {"beta": 0.3}}


def test_a_value_is_found_by_its_path() -> None:
    tree = {"a": [{"b": 1}]}
    assert at(tree, ("a", 0, "b")) == 1
    assert [at(tree, path) for path in (("a", 1), ("a", "b"), ("a", 0, "b", "c"))] == [None] * 3


def test_class_paths_of_ours_become_names_wherever_they_stand() -> None:
    stream = {"class_path": "unlearnkit.data.QAStream", "init_args": {"path": "a"}}
    own = {"class_path": "my.Loss", "init_args": {"x": 1}}
    suite = {"class_path": "unlearnkit.suites.Copyright", "init_args": {"forget": stream}}
    recipe = {
        "model": {"objectives": {"forget": OLD, "own": own}},
        "evaluate": [suite],
        "phases": [{"model": {"objectives": {"forget": OLD}}}],
    }
    found = named(recipe)
    assert found["model"]["objectives"] == {"forget": {"name": "npo", "beta": 0.3}, "own": own}
    assert found["evaluate"] == [{"name": "copyright", "forget": {"name": "qa", "path": "a"}}]
    assert found["phases"][0]["model"]["objectives"]["forget"]["name"] == "npo"
    assert recipe["evaluate"] == [suite]  # the input is left as it is


def test_arguments_at_their_default_are_left_out() -> None:
    entry = {"name": "npo", "beta": defaults(NPO)["beta"], "weight": 0.5}
    found = without_defaults({"model": {"objectives": {"forget": entry}}})
    assert found["model"]["objectives"]["forget"] == {"name": "npo", "weight": 0.5}
    assert defaults(NPO)["weight"] == 1.0  # of the base class


def test_the_adapter_of_earlier_versions_is_its_arguments() -> None:
    old = {"class_path": "unlearnkit.engine.LoraConfig", "init_args": {"r": 4}}
    assert with_plain_lora({"model": {"lora": old}}) == {"model": {"lora": {"r": 4}}}
    assert with_plain_lora({"model": {"lora": {"r": 4}}}) == {"model": {"lora": {"r": 4}}}
