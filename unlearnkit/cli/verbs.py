"""The verbs. What is heavy is imported where it is used, so that ``list`` and ``cp`` are quick."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING

from unlearnkit.cli import console
from unlearnkit.cli.imports import without_collection
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.overrides import CommandLine, read_command_line, split_options
from unlearnkit.cli.recipe.shipped import find, recipe_name
from unlearnkit.cli.verbs import list as listing
from unlearnkit.cli.verbs.base import call
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.registry import did_you_mean

if TYPE_CHECKING:
    from unlearnkit.cli.recipe.build import RecipeCLI
    from unlearnkit.cli.recipe.build_phases import PhasedRecipe


def fit_command(argv: list[str]) -> None:
    """Unlearns by a recipe."""
    cli, line = _recipe(argv, "fit")
    from unlearnkit.cli.banner import show_start
    from unlearnkit.cli.recipe.build_phases import PhasedRecipe
    from unlearnkit.runs import fit

    if isinstance(cli, PhasedRecipe):
        _fit_phases(cli, line)
        return
    summary = fit(
        cli.model,
        cli.datamodule,
        cli.trainer,
        recipe_name=recipe_name(line.recipes[0]),
        recipe_text=cli.recipe_text,
        evaluate=cli.suites,
        gold=cli.config.gold,
        run_dir=cli.config.run_dir,
        seed=cli.config.seed_everything,
        ckpt_path=line.ckpt_path,
        on_start=show_start,
    )
    if cli.trainer.is_global_zero:
        console.show_summary(summary)


def validate_command(argv: list[str]) -> None:
    """Checks a recipe and its data."""
    cli, _ = _recipe(argv, "validate")
    from unlearnkit.cli.recipe.build_phases import PhasedRecipe
    from unlearnkit.cli.verbs.validate import preview, preview_phases

    if isinstance(cli, PhasedRecipe):
        preview_phases(cli)
    else:
        preview(cli)


def list_command(argv: list[str]) -> None:
    """Shows what a recipe can name."""
    call(list_names, argv, "list")


def cp_command(argv: list[str]) -> None:
    """Copies a shipped recipe."""
    call(copy_recipe, argv, "cp")


def generate_command(argv: list[str]) -> None:
    """Continues a prompt."""
    call(generate, argv, "generate")


def export_command(argv: list[str]) -> None:
    """Writes a run's model."""
    call(export, argv, "export")


def new_command(argv: list[str]) -> None:
    """Writes a template."""
    call(new, argv, "new")


def sample_command(argv: list[str]) -> None:
    """Samples a model's own answers."""
    options = ["-h", "--help", *(f"--{name}" for name in inspect.signature(sample).parameters)]
    own, rest = split_options(argv, options)
    cli = _recipe(rest, "sample")[0] if rest else None
    if cli is not None and not hasattr(cli, "datamodule"):
        raise RecipeError(
            "sample draws from the model of one recipe, and this one has phases.",
            hint="Give --model, --prompts and --out.",
        )
    call(sample, own, "sample", cli=cli)


def list_names(what: str) -> None:
    """Show what a recipe can name.

    Args:
        what: objectives, streams, suites, callbacks, recipes or metrics.

    Raises:
        UserError: For anything else.
    """
    if what not in listing.LISTS:
        raise UserError(
            f"there is no list of '{what}'.{did_you_mean(what, list(listing.LISTS))}",
            title="usage",
            hint=f"Lists: {', '.join(listing.LISTS)}.",
        )
    console.show_list(listing.rows(what))


def copy_recipe(recipe: str, to: str) -> None:
    """Copy a shipped recipe, to be edited.

    Args:
        recipe: Name of a shipped recipe, or a file.
        to: The new file; it must not exist.

    Raises:
        UserError: If the file exists or cannot be written.
    """
    source, target = find(recipe), Path(to)
    if target.is_dir():
        target /= source.name
    try:
        # Mode x refuses a file that exists, also one made this moment.
        with target.open("x", encoding="utf-8") as file:
            file.write(source.read_text(encoding="utf-8"))
    except FileExistsError:
        raise UserError(
            f"{target} exists and is not overwritten.", hint="Give another name."
        ) from None
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror}.") from error
    console.out().print(f"{target}\nunlearnkit fit --recipe {target}", markup=False)


def generate(
    run: str, prompt: str, against: str | None = None, max_new_tokens: int = 64, chat: bool = False
) -> None:
    """Continue a prompt with a run's model, and with another one beside it.

    Args:
        run: Run folder, or any model that a recipe's model.base can name.
        prompt: Text to continue.
        against: ``base`` for the model that the run started from; or another run or model.
        max_new_tokens: Longest continuation, in tokens.
        chat: Put the prompt through the model's chat template.
    """
    from unlearnkit.cli.quiet import quieten
    from unlearnkit.cli.verbs.generate import continuations

    quieten()
    console.show_generations(continuations(run, prompt, against, max_new_tokens, chat))


def export(run: str, out: str, merge: bool = False) -> None:
    """Write a run's model to a folder that transformers loads.

    Args:
        run: Run folder, or the folder of a model, an adapter or an edit.
        out: Folder to write; it must not exist.
        merge: Make it stand alone: merge an adapter into its base model; copy the models that an
            edit such as uld or o3 points at.
    """
    from unlearnkit import runs
    from unlearnkit.cli.quiet import quieten

    quieten()
    console.out().print(str(runs.export(run, out, merge=merge)), markup=False, soft_wrap=True)


def new(kind: str, path: str) -> None:
    """Write a template to start from, and its test next to it.

    Args:
        kind: What is begun: objective.
        path: The new file, such as my_losses.py; it must not exist.
    """
    from unlearnkit.cli.verbs.new import new_files

    target, test = new_files(kind, path)
    console.out().print(f"{target}\n{test}\npytest {test}", markup=False, soft_wrap=True)


def sample(
    model: str | None = None,
    prompts: str | None = None,
    prompt_field: str = "prompt",
    out: str | None = None,
    per_prompt: int | None = None,
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_new_tokens: int = 200,
    seed: int = 0,
    template: str = "{prompt}",
    cli: RecipeCLI | None = None,
) -> None:
    """Sample a model's own answers, for streams of self-samples.

    Of a recipe: unlearnkit sample --recipe RECIPE [--KEY VALUE ...] answers the prompts of its
    self_samples streams with its model. Else give --model, --prompts and --out. A file that is
    there already is gone on with.

    Args:
        model: Any model that a recipe's model.base can name.
        prompts: File or data set of prompts.
        prompt_field: Its column that holds the prompt.
        out: File of the answers; by default the one that the recipe's stream reads.
        per_prompt: Answers per prompt; by default as many as the recipe's stream draws, or 5.
        temperature: Sampling temperature.
        top_p: Share of the probability that is sampled from.
        max_new_tokens: Longest answer, in tokens.
        seed: Seed of the sampling.
        template: Text around the prompt while sampling, with {prompt} in it.
        cli: The recipe.

    Raises:
        UserError: If neither a recipe nor a model with prompts is given, or for values that
            nothing can be sampled with.
    """
    from unlearnkit.cli.verbs import sample as sampling
    from unlearnkit.data.samples import Sampling, check_sampling

    how = Sampling(temperature, top_p, max_new_tokens, seed, template)
    if (wrong := check_sampling(how)) is not None:
        raise UserError(f"--{wrong}")
    if per_prompt is not None and per_prompt < 1:
        raise UserError(f"--per_prompt: expected at least 1, found {per_prompt}")
    if cli is not None:
        jobs = sampling.jobs_of_recipe(cli, out, per_prompt)
    elif model and prompts and out:
        jobs = [sampling.job_of_file(model, prompts, prompt_field, out, per_prompt or 5)]
    else:
        raise UserError(
            "there is nothing to sample for.",
            title="usage",
            hint="unlearnkit sample --recipe RECIPE, or --model M --prompts FILE --out FILE",
        )
    for job in jobs:
        answered = sampling.run(job, how)
        words = f"{job.path}: {answered} prompts answered, {job.per_prompt} answers each"
        console.out().print(words, markup=False, soft_wrap=True)


def _fit_phases(recipe: PhasedRecipe, line: CommandLine) -> None:
    from unlearnkit.runs.phases.run import fit_phases

    summary = fit_phases(
        recipe.phases(),
        base=recipe.base,
        recipe_name=recipe_name(line.recipes[0]),
        recipe_text=recipe.recipe_text,
        run_dir=recipe.run_dir,
        ckpt_path=line.ckpt_path,
        on_phase=console.show_phase,
    )
    if summary.phases:  # the first process has them
        console.show_summary(summary)
        console.show_requests(summary.requests)


def _recipe(argv: list[str], verb: str) -> tuple[RecipeCLI | PhasedRecipe, CommandLine]:
    """The recipe's objects; its warnings are shown."""
    line = read_command_line(argv)
    everything = "--help_all" in line.switches
    if not line.recipes and not everything:
        raise RecipeError("no recipe is given.", hint=f"unlearnkit {verb} --recipe copyright")
    document = None if everything else read(line.recipes)
    with without_collection():
        from unlearnkit.cli.quiet import quieten
        from unlearnkit.cli.recipe.build_phases import recipe_of
        from unlearnkit.data.rows.reader import search_folders

    quieten()
    search_folders.set(tuple(path.parent for path in line.recipes))
    cli = recipe_of(document, line.overrides, verb, "--print_recipe" in line.switches)
    for warning in cli.warnings:
        console.warn(warning)
    return cli, line
