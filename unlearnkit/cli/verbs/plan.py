"""``unlearnkit plan``: says what a recipe needs of GPUs."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING, Literal

from unlearnkit.arguments import refuse_idle
from unlearnkit.cli import console
from unlearnkit.cli.recipe.names import dotted
from unlearnkit.cli.recipe.overrides import read_command_line, split_options
from unlearnkit.cli.verbs.base import call, recipe
from unlearnkit.errors import RecipeError, UserError

if TYPE_CHECKING:
    from unlearnkit.cost.gpus import Machine

HELP = "Say what a recipe needs of GPUs: memory, disk, time; no weights are read."


def command(argv: list[str]) -> None:
    """Plans the recipe that the words name."""
    options = ["-h", "--help", *(f"--{name}" for name in inspect.signature(plan).parameters)]
    own, rest = split_options(argv, options)
    call(plan, own, "plan", line=rest)


def plan(
    gpu: str | None = None,
    format: Literal["text", "json"] = "text",
    line: list[str] | None = None,
) -> None:
    """Say what a recipe needs of GPUs: memory by term, main memory, disk, time of a step.

    unlearnkit plan --recipe RECIPE --gpu h100x8 [--KEY VALUE ...]. The model's config and tokenizer
    are read, and the rows; no weights. Where it does not fit, changes are proposed, each with what
    it saves.

    Args:
        gpu: A GPU, GPUs of a node, nodes: h100, h100x8 or h100x8x2. Without numbers those of the
            recipe's trainer count.
        format: text or json, with sizes in bytes and times in seconds.
        line: The recipe and its overrides.

    Raises:
        UserError: If no such GPU is known.
        RecipeError: For a recipe of phases, and for every mistake of it.
    """
    from unlearnkit.cost.gpus import GPUS, machine

    if gpu is None:
        known = ", ".join(f"{each.name} ({each.memory} GB)" for each in GPUS.values())
        raise UserError("--gpu: expected a GPU.", title="usage", hint=f"Known: {known}.")
    found = machine(gpu)
    if found.each is not None:
        keys = [dotted(each.path) for each in read_command_line(line or []).overrides]
        twice = [key for key in ("trainer.devices", "trainer.num_nodes") if key in keys]
        refuse_idle(dict.fromkeys(twice, f"with --gpu {gpu}"))
    made, _ = recipe([*(line or []), *_here(found)], "plan")
    from unlearnkit.cli.planned import show_plan
    from unlearnkit.cli.recipe.build_phases import PhasedRecipe
    from unlearnkit.runs.planning.plan import plan_run

    if isinstance(made, PhasedRecipe):
        raise RecipeError(
            "a recipe of phases is not planned as a whole",
            hint="Plan the recipe of each phase.",
        )
    result = plan_run(
        made.model, made.datamodule, made.trainer, found, made.suites, made.config.gold
    )
    if format == "json":
        console.out().print_json(json.dumps(result.as_json()))
    else:
        show_plan(result)


def _here(machine: Machine) -> list[str]:
    """Overrides by which a trainer for these GPUs is made without them."""
    words = ["--trainer.accelerator", "cpu"]
    if machine.each is not None:
        words += ["--trainer.devices", str(machine.each)]
        words += ["--trainer.num_nodes", str(machine.nodes)]
    return words
