"""The verbs. What is heavy is imported where it is used, so that ``list`` and ``cp`` are quick."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from jsonargparse import ArgumentParser

from unlearnkit.cli import console, listing, measuring
from unlearnkit.cli.document import read
from unlearnkit.cli.imports import without_collection
from unlearnkit.cli.overrides import CommandLine, read_command_line, split_options, with_values
from unlearnkit.cli.schema import in_words
from unlearnkit.cli.shipped import find, recipe_name
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.registry import did_you_mean

if TYPE_CHECKING:
    from unlearnkit.cli.recipe import RecipeCLI


class VerbParser(ArgumentParser):
    """Raises what argparse would print and exit for."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises a `UserError`.

        Raises:
            UserError: Always.
        """
        raise UserError(in_words(message), title="usage", hint=f"See {self.prog} --help.") from ex


def fit_command(argv: list[str]) -> None:
    """Unlearns by a recipe."""
    cli, line = _recipe(argv, "fit")
    from unlearnkit.runs import fit

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
    )
    if cli.trainer.is_global_zero:
        console.show_summary(summary)


def validate_command(argv: list[str]) -> None:
    """Checks a recipe and its data."""
    cli, _ = _recipe(argv, "validate")
    from unlearnkit.cli.preview import preview

    preview(cli)


def list_command(argv: list[str]) -> None:
    """Shows what a recipe can name."""
    _call(list_names, argv, "list")


def cp_command(argv: list[str]) -> None:
    """Copies a shipped recipe."""
    _call(copy_recipe, argv, "cp")


def generate_command(argv: list[str]) -> None:
    """Continues a prompt."""
    _call(generate, argv, "generate")


def export_command(argv: list[str]) -> None:
    """Writes a run's model."""
    _call(export, argv, "export")


def evaluate_command(argv: list[str]) -> None:
    """Runs suites on a model."""
    # A list grows by --suite+, and people write the option once for each suite.
    _call(measuring.evaluate, [_appending(word) for word in argv], "evaluate")


def compare_command(argv: list[str]) -> None:
    """Compares runs."""
    about = "Put the figures of several runs in one table; seeds of one recipe are mean ± sd."
    parser = VerbParser(prog="unlearnkit compare", description=about)
    parser.add_argument("runs", nargs="+", help="Run folders, or folders with runs below them.")
    parser.add_argument("--format", default="table", help="table, md, csv or json.")
    arguments = parser.parse_args(argv)
    measuring.compare(arguments.runs, arguments.format)


def attack_command(argv: list[str]) -> None:
    """Attacks a run's model."""
    _call(measuring.attack, argv, "attack")


def new_command(argv: list[str]) -> None:
    """Writes a template."""
    _call(new, argv, "new")


def sample_command(argv: list[str]) -> None:
    """Samples a model's own answers."""
    options = ["-h", "--help", *(f"--{name}" for name in inspect.signature(sample).parameters)]
    own, rest = split_options(argv, options)
    cli = _recipe(rest, "sample")[0] if rest else None
    _call(sample, own, "sample", cli=cli)


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
    from unlearnkit.cli.continuations import continuations
    from unlearnkit.cli.noise import quieten

    quieten()
    console.show_generations(continuations(run, prompt, against, max_new_tokens, chat))


def export(run: str, out: str, merge: bool = False) -> None:
    """Write a run's model to a folder that transformers loads.

    Args:
        run: Run folder.
        out: Folder to write; it must not exist.
        merge: Merge the adapter into the base model.
    """
    from unlearnkit import runs
    from unlearnkit.cli.noise import quieten

    quieten()
    console.out().print(str(runs.export(run, out, merge=merge)), markup=False, soft_wrap=True)


def new(kind: str, path: str) -> None:
    """Write a template to start from, and its test next to it.

    Args:
        kind: What is begun: objective.
        path: The new file, such as my_losses.py; it must not exist.
    """
    from unlearnkit.cli.scaffold import new_files

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
    from unlearnkit.cli import sampling

    how = sampling.Sampling(temperature, top_p, max_new_tokens, seed, template).check()
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


def _appending(word: str) -> str:
    return f"--suite+{word[7:]}" if word.partition("=")[0] == "--suite" else word


def _call(function: Callable[..., None], argv: Sequence[str], verb: str, **given: Any) -> None:
    about = (inspect.getdoc(function) or "").partition("\n\nArgs:")[0]
    parser = VerbParser(prog=f"unlearnkit {verb}", description=about)
    parser.add_function_arguments(function, as_group=False, as_positional=True, skip={*given})
    parameters = inspect.signature(function).parameters.values()
    switches = {f"--{each.name}" for each in parameters if each.default is False}
    arguments: dict[str, Any] = parser.parse_args(with_values(argv, switches)).as_dict()
    function(**arguments, **given)


def _recipe(argv: list[str], verb: str) -> tuple[RecipeCLI, CommandLine]:
    """The recipe's objects; its warnings are shown."""
    line = read_command_line(argv)
    everything = "--help_all" in line.switches
    if not line.recipes and not everything:
        raise RecipeError("no recipe is given.", hint=f"unlearnkit {verb} --recipe copyright")
    document = None if everything else read(line.recipes)
    with without_collection():
        from unlearnkit.cli.noise import quieten
        from unlearnkit.cli.recipe import RecipeCLI
        from unlearnkit.data.reader import search_folders

    quieten()
    search_folders.set(tuple(path.parent for path in line.recipes))
    cli = RecipeCLI(document, line.overrides, verb, "--print_recipe" in line.switches)
    for warning in cli.warnings:
        console.warn(warning)
    return cli, line
