"""The verbs. What is heavy is imported where it is used, so that ``list`` and ``cp`` are quick."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from jsonargparse import ArgumentParser

from unlearnkit.cli import console, listing
from unlearnkit.cli.document import read
from unlearnkit.cli.overrides import CommandLine, read_command_line
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

    console.show_generations(continuations(run, prompt, against, max_new_tokens, chat))


def export(run: str, out: str, merge: bool = False) -> None:
    """Write a run's model to a folder that transformers loads.

    Args:
        run: Run folder.
        out: Folder to write; it must not exist.
        merge: Merge the adapter into the base model.
    """
    from unlearnkit import runs

    console.out().print(str(runs.export(run, out, merge=merge)), markup=False, soft_wrap=True)


def _call(function: Callable[..., None], argv: Sequence[str], verb: str) -> None:
    parser = VerbParser(prog=f"unlearnkit {verb}")
    parser.add_function_arguments(function, as_group=False, as_positional=True)
    arguments: dict[str, Any] = parser.parse_args(argv).as_dict()
    function(**arguments)


def _recipe(argv: list[str], verb: str) -> tuple[RecipeCLI, CommandLine]:
    """The recipe's objects; its warnings are shown."""
    line = read_command_line(argv)
    everything = "--help_all" in line.switches
    if not line.recipes and not everything:
        raise RecipeError("no recipe is given.", hint=f"unlearnkit {verb} --recipe copyright")
    document = None if everything else read(line.recipes)
    from unlearnkit.cli.noise import quieten
    from unlearnkit.cli.recipe import RecipeCLI
    from unlearnkit.data.reader import search_folders

    quieten()
    search_folders.set(tuple(path.parent for path in line.recipes))
    cli = RecipeCLI(document, line.overrides, verb, "--print_recipe" in line.switches)
    for warning in cli.warnings:
        console.warn(warning)
    return cli, line
