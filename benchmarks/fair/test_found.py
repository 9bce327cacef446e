"""The shipped recipe holds what was found and trained."""

from __future__ import annotations

import pytest
import torch
import yaml

from benchmarks.fair import found
from benchmarks.fair.making import recipe_of
from benchmarks.fair.methods import METHODS
from benchmarks.fair.table import RESULTS, read_rows
from unlearnkit.cli.recipe.build_phases import recipe_of as built
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.overrides import read_command_line

CHOICES = yaml.safe_load(found.RECIPE.read_text(encoding="utf-8"))["choices"]["method"]


def test_the_recipe_is_that_of_the_kept_results():
    assert found.RECIPE.read_text(encoding="utf-8") == found.recipe()


def test_a_method_that_destroys_is_no_choice():
    names = {row.name for row in read_rows(RESULTS)[1]}
    assert {"gradient_ascent", "ceu"} <= names - CHOICES.keys()
    assert next(iter(CHOICES)) == "satimp"


@pytest.mark.parametrize("name", ["satimp", "simnpo", "llmu", "undial"])
def test_a_choice_builds_what_the_bench_trained(name):
    settings = next(row for row in read_rows(RESULTS)[1] if row.name == name).runs[-1]["settings"]
    theirs = recipe_of(METHODS[name], settings, 0)
    line = read_command_line(["--recipe", "tiny_tofu_power/found", "--method", name])
    ours = built(read(line.recipes), line.overrides, "fit", print_only=False)
    assert _made_of(ours) == _made_of(theirs)


def _made_of(cli):
    model, streams = cli.model, cli.datamodule.streams
    parameters = [torch.nn.Parameter(torch.zeros(1))]
    return {
        "terms": {key: (type(term), _rounded(term)) for key, term in model.objectives.items()},
        "lr": float(f"{model.make_optimizer(parameters).defaults['lr']:.6g}"),
        "schedule": (model.schedule, model.warmup, cli.trainer.max_steps),
        "lora": None if model.lora is None else (model.lora.r, model.lora.lora_alpha),
        "robust": None if model.robust is None else vars(model.robust),
        "streams": {key: (type(streams[key]), _plain(streams[key])) for key in model.streams_read},
    }


def _plain(stream):
    return {key: each for key, each in vars(stream).items() if isinstance(each, str | int)}


def _rounded(term):
    return {key: f"{each:.6g}" for key, each in vars(term).items() if isinstance(each, float)}
