"""Every shipped recipe parses, trains two steps that wait once each, and says how it is run."""

import math
import re

import pytest
import torch
import yaml
from waits import Waits

from unlearnkit import load_run
from unlearnkit.cli.recipe.phases import has_phases
from unlearnkit.cli.recipe.shipped import shipped
from unlearnkit.data import SampledStream
from unlearnkit.objectives import Objective
from unlearnkit.runs.phases.run import fit_phases

RECIPES = shipped()
PHASED = [
    name for name, path in RECIPES.items() if has_phases(yaml.safe_load(path.read_text("utf-8")))
]
# Those of published benchmarks train in test_published.py.
OWN = [name for name in RECIPES if name not in PHASED and not name.startswith("published/")]
METHODS = [name for name in RECIPES if name.startswith("methods/")]
# Not a forgetting method, but a term that any of them may add; and one whose labels another command
# writes, of which edits/whp is the recipe.
WITHOUT_RECIPE = {"l2_to_reference", "generic_labels"}
# What a recipe with requests measures before the first and after each, in short.
SHORT = {"requests": ("--evaluate", "[{name: requests, limit: 2, max_new_tokens: 4}]")}
# Labels are those of one tokenizer. A random model has nothing to forget, so that the stop comes
# after one step; a few rows are enough for two.
MORE = {
    "edits/whp": ("--model.base", "tiny/tofu_power"),
    "tiny_tofu/gradient_ascent": (
        *("--trainer.min_epochs", "2", "--data.batch_size", "2"),
        *("--data.streams.forget.limit", "2", "--data.streams.unseen.limit", "2"),
    ),
}


@pytest.mark.parametrize("name", OWN)
def test_two_steps(build, name):
    cli = build(name, *MORE.get(name, ()))
    for each in cli.datamodule.streams.values():
        if isinstance(each, SampledStream):
            each.sampling = each.sampling._replace(max_new_tokens=4)
    cli.model.configure_model()
    parameters = [p for p in cli.model.policy.parameters() if p.requires_grad]
    before = [p.detach().clone() for p in parameters]
    waits = Waits()
    cli.trainer.callbacks.append(waits)
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    assert cli.trainer.global_step == 2
    assert len(waits.steps) == 2
    assert all(len(step) <= 1 for step in waits.steps), waits.steps
    assert math.isfinite(cli.trainer.callback_metrics["train/loss"])
    assert any(not torch.equal(p, q) for p, q in zip(parameters, before, strict=True))


@pytest.mark.parametrize("name", PHASED)
def test_two_steps_a_phase(build, name):
    recipe = build(name, *SHORT.get(name, ()))
    trained = len(recipe.clis)
    waits = {phase: Waits() for phase in recipe.clis}
    for phase, cli in recipe.clis.items():
        cli.trainer.callbacks.append(waits[phase])
    summary = fit_phases(recipe.phases(), base=recipe.base, recipe_text=recipe.recipe_text)
    assert summary.steps == 2 * trained
    for phase, each in waits.items():
        assert len(each.steps) == 2, phase
        assert all(len(step) <= 1 for step in each.steps), (phase, each.steps)
    assert load_run(summary.folder).model == summary.folder / summary.phases[-1]["name"] / "model"


@pytest.mark.parametrize("name", RECIPES)
def test_the_head_says_what_it_does_and_how_to_run_it(name):
    head = RECIPES[name].read_text(encoding="utf-8").partition("\nseed_everything")[0]
    lines = head.splitlines()
    assert all(line.startswith("#") and len(line) <= 100 for line in lines)
    assert lines[0].endswith(".")
    assert re.search(rf"^#   unlearnkit fit --recipe {name}( |$)", head, re.MULTILINE)


@pytest.mark.parametrize("name", METHODS)
def test_a_method_names_its_paper_and_starts_from_what_is_shipped(build, name):
    text = RECIPES[name].read_text(encoding="utf-8")
    assert re.match(r"#.*arXiv \d{4}\.\d{5}", text)
    assert "\n  base: tiny\n" in text


def test_every_objective_has_a_recipe(build):
    used = {
        objective.registered_name
        for name in METHODS
        for objective in build(name).model.objectives.values()
    }
    own = {
        n for n, cls in Objective.registered().items() if cls.__module__.startswith("unlearnkit.")
    }
    assert own - used == WITHOUT_RECIPE


def test_safe_unlearning_without_its_forget_term_is_finetuning(build):
    """alpha 0 leaves descent on refusals and on what is to be kept (arXiv 2407.02855)."""
    cli = build("methods/safe_unlearning", "--model.objectives.forget.weight=0")
    terms = {key: (each.registered_name, each.weight) for key, each in cli.model.active.items()}
    assert terms == {"idk": ("idk", 0.5), "retain": ("retain_nll", 1.0)}


def test_the_papers_settings(build):
    for name in ("paper/copyright_opt", "paper/harmful_opt", "paper/hallucination_opt"):
        cli = build(name, "--trainer.max_steps", "1000")
        weights = {key: each.weight for key, each in cli.model.objectives.items()}
        assert weights == {"forget": 0.5, "mismatch": 1.0, "retain": 1.0}
        assert "base: facebook/opt-1.3b" in RECIPES[name].read_text(encoding="utf-8")
        assert "max_steps: 1000" in RECIPES[name].read_text(encoding="utf-8")
        assert cli.datamodule.batch_size == 2
        assert cli.datamodule.streams["mismatch"].per_prompt == 5
        assert (cli.model.schedule, cli.model.warmup) == ("linear", 0)
        parameter = torch.nn.Parameter(torch.zeros(1))
        assert cli.model.make_optimizer([parameter]).defaults["lr"] == 2e-6


def test_harmful_text_is_the_unsafe_responses_in_the_papers_template(build):
    data = build("paper/harmful_opt").datamodule
    data.check()
    rows = [data.data["forget"].at(row, 0)[0] for row in range(len(data.data["forget"]))]
    assert [each.source.rpartition(":")[2].partition(",")[0] for each in rows] == [
        "1",
        "2",
        "4",
        "4",
    ]
    template = data.streams["forget"].template
    assert template == "### Question: {prompt}\n ### Answer: {response}"
    # 4 best answers, 4 right ones again and more, 6 wrong ones.
    assert len(data.data["pool"]) == 4 + 7 + 5
