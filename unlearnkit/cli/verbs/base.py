"""Options from signatures, and recipes from command lines, for all verbs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

from jsonargparse import ArgumentParser

from unlearnkit.cli import console
from unlearnkit.cli.placed import remember
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.overrides import (
    SHOWING,
    CommandLine,
    read_command_line,
    refuse_unread,
    with_values,
)
from unlearnkit.cli.recipe.signature import find_own_modules, in_words
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.registry import did_you_mean

if TYPE_CHECKING:
    from unlearnkit.cli.recipe.build import RecipeCLI
    from unlearnkit.cli.recipe.build_phases import PhasedRecipe


class VerbParser(ArgumentParser):
    """Raises what argparse would print and exit for."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises a `UserError`.

        Raises:
            UserError: Always.
        """
        hint = f"See {self.prog} --help."
        given, _, options = message.partition("unrecognized arguments: ")
        if not given and options:
            known = [option for action in self._actions for option in action.option_strings]
            unknown = [word.partition("=")[0] for word in options.split() if word.startswith("--")]
            hint = "".join(did_you_mean(each, known) for each in unknown).strip() + f" {hint}"
        raise UserError(in_words(message), title="usage", hint=hint.strip()) from ex


def call(
    function: Callable[..., Any],
    argv: Sequence[str],
    verb: str,
    positional: bool = True,
    **given: Any,
) -> Any:
    """Calls a function, or makes an object, with what a command line gives its parameters.

    Args:
        function: Its docstring is the help.
        argv: The words after the verb.
        verb: What they are the arguments of.
        positional: Whether what has no default is given by its place rather than by ``--name``.
        **given: Arguments that are no options.

    Returns:
        What the function returned.
    """
    parser = parser_of(function, verb, positional, [*given])
    return function(**parse(parser, function, argv), **given)


def parse(
    parser: VerbParser, function: Callable[..., Any], argv: Sequence[str], defaults: bool = True
) -> dict[str, Any]:
    """What a command line gives a function's parameters.

    A list may be given by its option once for each value, and a switch without a value.

    Args:
        parser: That of the function.
        function: The function, or a class.
        argv: The words.
        defaults: Whether parameters that are not given have their defaults, or are left out.
    """
    parameters = inspect.signature(function).parameters.values()
    switches = {
        f"--{each.name}"
        for each in parameters
        if each.default is False or each.annotation == "bool | None"
    }
    lists = {
        f"--{each.name}"
        for each in parameters
        if any(kind.startswith("list[") for kind in str(each.annotation).split(" | "))
    }
    # jsonargparse lets a list grow by ``--option+``.
    words = [
        f"{name}+{word[len(name) :]}" if (name := word.partition("=")[0]) in lists else word
        for word in argv
    ]
    return parser.parse_args(with_values(words, switches), defaults=defaults).as_dict()


def parser_of(
    function: Callable[..., Any], verb: str, positional: bool = True, skip: Sequence[str] = ()
) -> VerbParser:
    """The parser of a function's, or a class's, parameters."""
    about = (inspect.getdoc(function) or "").partition("\n\nArgs:")[0]
    parser = VerbParser(prog=f"unlearnkit {verb}", description=about)
    options: dict[str, Any] = {"as_group": False, "as_positional": positional, "skip": {*skip}}
    if inspect.isclass(function):
        # What a class takes by keyword alone cannot be given as text.
        parameters = inspect.signature(function).parameters.values()
        options["skip"] |= {each.name for each in parameters if each.kind is each.KEYWORD_ONLY}
        parser.add_class_arguments(function, **options)
    else:
        parser.add_function_arguments(function, **options)
    return parser


def recipe(argv: list[str], verb: str) -> tuple[RecipeCLI | PhasedRecipe, CommandLine]:
    """The objects of the recipe that a command line names; its warnings are shown.

    Raises:
        RecipeError: If none is named, and for every mistake of the one that is.
    """
    line = read_command_line(argv)
    if verb != "fit":
        refuse_unread(line, verb, SHOWING)
    everything = "--help_all" in line.switches
    if not line.recipes and not everything:
        raise RecipeError("no recipe is given.", hint=f"unlearnkit {verb} --recipe copyright")
    document = None if everything else read(line.recipes)
    with heavy_imports():
        from unlearnkit.cli.recipe.build_phases import recipe_of
        from unlearnkit.data.rows.reader import search_folders

    search_folders.set(tuple(path.parent for path in line.recipes))
    remember(document)
    made = recipe_of(document, line.overrides, verb, "--print_recipe" in line.switches)
    for warning in made.warnings:
        console.warn(warning)
    return made, line


def own_verb(path: str) -> Callable[[list[str]], None]:
    """A function of an own file as a verb: its parameters are the options.

    Args:
        path: Its dotted path, such as ``my_verbs.audit``.

    Raises:
        UserError: If there is no such function.
    """
    module, _, name = path.rpartition(".")
    find_own_modules()
    try:
        function = getattr(import_module(module), name)
    except Exception as error:  # an own file may fail in any way
        raise UserError(
            f"there is no verb '{path}': {type(error).__name__}: {error}.", title="unknown verb"
        ) from error
    if not inspect.isfunction(function):
        raise UserError(f"'{path}' is no function.", title="unknown verb")
    return lambda argv: call(function, argv, path)
