"""Strategies with arguments, in the short form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from unlearnkit.cli.recipe.build import RecipeCLI
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.names import expand
from unlearnkit.cli.recipe.strategies import strategy_entry
from unlearnkit.engine.training.fsdp2 import FSDP2Strategy
from unlearnkit.errors import RecipeError

RECIPES = Path(__file__).parents[4] / "recipes"


def test_names_are_lightnings_with_what_they_stand_for() -> None:
    path, arguments = strategy_entry("ddp_find_unused_parameters_true", {"static_graph": True})
    assert path == "lightning.pytorch.strategies.ddp.DDPStrategy"
    assert arguments == {
        "find_unused_parameters": True, "start_method": "popen", "static_graph": True
    }  # fmt: skip
    assert strategy_entry("mine.Own", {"a": 1}) == ("mine.Own", {"a": 1})


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(RecipeError, match=r"no strategy is named 'fsdp3'\. Did you mean 'fsdp"):
        strategy_entry("fsdp3", {})
    with pytest.raises(RecipeError, match="no name"):
        strategy_entry(None, {"replicate": 2})


def test_a_name_alone_and_a_class_path_stay_as_they_are() -> None:
    whole = {"class_path": "lightning.pytorch.strategies.DDPStrategy", "init_args": {}}
    for given in ("fsdp2", whole):
        assert expand({"trainer": {"strategy": given}}) == {"trainer": {"strategy": given}}


def test_a_dotted_path_alone_keeps_its_capital_letters(here, monkeypatch) -> None:
    (here / "of_mine.py").write_text(
        "from lightning.pytorch.profilers import SimpleProfiler\n"
        "from lightning.pytorch.strategies import SingleDeviceStrategy\n"
        "class Own(SingleDeviceStrategy): pass\n"
        "class Times(SimpleProfiler): pass\n"
    )
    monkeypatch.syspath_prepend(here)
    recipe = read([RECIPES / "copyright.yaml"])
    recipe.tree["trainer"] |= {"strategy": "of_mine.Own", "profiler": "of_mine.Times"}
    trainer: Any = RecipeCLI(recipe, verb="validate").trainer
    assert type(trainer.strategy).__name__ == "Own"
    assert type(trainer.profiler).__name__ == "Times"


@pytest.mark.parametrize(
    ("arguments", "processes", "found"),
    [
        ({}, 4, None),
        ({"replicate": 2}, 4, None),
        ({"shard": 2, "replicate": 2}, 4, None),
        (
            {"shard": 2, "replicate": 2},
            3,
            "shard 2 × replicate 2 is 4 processes, and the run has 3",
        ),
        ({"replicate": 2}, 3, "shard 1 × replicate 2 is 2 processes, and the run has 3"),
        ({"replicate": 0}, 4, "expected 1 or more of replicate, found 0"),
        ({"shard": -1}, 4, "expected 1 or more of shard, found -1"),
    ],
)
def test_sizes_have_to_be_those_of_the_run(arguments, processes, found) -> None:
    strategy = FSDP2Strategy(**arguments)
    strategy.parallel_devices = [None] * processes  # pyright: ignore
    assert strategy.misfit == found


@pytest.mark.parametrize(
    ("setting", "package"),
    [
        ({"precision": "transformer-engine"}, "transformer_engine"),
        ({"accelerator": "tpu"}, "torch_xla"),
        ({"strategy": "xla"}, "torch_xla"),
    ],
)
def test_a_package_that_a_setting_needs_is_named(setting, package) -> None:
    recipe = read([RECIPES / "copyright.yaml"])
    recipe.tree["trainer"] |= setting
    with pytest.raises(RecipeError, match=f"^trainer: a setting of it needs {package}") as caught:
        RecipeCLI(recipe, verb="validate")
    assert str(caught.value.hint).startswith(f"pip install '{package}")
