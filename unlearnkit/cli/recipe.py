"""The LightningCLI that turns a recipe into a module, a data module and a trainer."""

from __future__ import annotations

import os
import sys
from typing import Any, NoReturn

import yaml
from jsonargparse import (
    ActionConfigFile,  # pyright: ignore[reportPrivateImportUsage]
    set_loader,
    set_parsing_settings,
)
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from unlearnkit.cli.check import LINKED, check
from unlearnkit.cli.document import Document, load_yaml
from unlearnkit.cli.families import dotted, expand
from unlearnkit.cli.overrides import CommandLine, apply
from unlearnkit.cli.schema import in_words
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.module import UnlearningModule
from unlearnkit.suites import Suite

MODE = "recipe"
SEED = 42
# The run folder has its own logger and its own copy of the weights.
TRAINER_DEFAULTS = {"logger": False, "enable_checkpointing": False, "enable_model_summary": False}

# A recipe builds no class where the signature asks for none, and names no code that runs commands:
# giving a list, if only an empty one, turns jsonargparse's own list of refused modules on.
set_parsing_settings(instantiate_subclass_spec_in_any=False, import_path_denylist=[])


def load(text: str) -> Any:
    """YAML with the short forms of a recipe written out; anything else as it is."""
    value = load_yaml(text)
    sections = {"model", "data", "trainer", "evaluate"}
    return expand(value) if isinstance(value, dict) and sections & set(value) else value


# An exception that is not listed here would end in a traceback.
set_loader(MODE, load, exceptions=(yaml.YAMLError, UserError))


class RecipeParser(LightningArgumentParser):
    """Raises what argparse would print and exit for."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Raises a `RecipeError`.

        Raises:
            RecipeError: Always, but from a parser inside another one, whose error the outer
                parser completes with its own key.
        """
        if not self.exit_on_error:
            super().error(message, ex)
        raise RecipeError(in_words(message)) from ex


class RecipeCLI(LightningCLI):
    """Reads a recipe and the overrides behind a verb.

    Args:
        line: What stands behind the verb.
        document: The recipes that it names.
        verb: For messages.

    Attributes:
        warnings: Things in the recipe that are allowed and probably not meant.
        suites: The suites to run before and after.

    Raises:
        RecipeError: With every mistake of the recipe.
    """

    model: UnlearningModule
    datamodule: UnlearningDataModule

    def __init__(self, line: CommandLine, document: Document, verb: str = "fit") -> None:
        # A console script does not look for modules in the working directory; an own loss lies
        # there. At the end of the path it cannot shadow an installed module.
        if os.getcwd() not in sys.path and "" not in sys.path:
            sys.path.append(os.getcwd())
        self.warnings: list[str] = []
        if not line.asks_for_help:
            apply(document, line)
            self.warnings = check(document)
        super().__init__(
            UnlearningModule,
            UnlearningDataModule,
            args=line.argv,
            run=False,
            save_config_callback=None,  # the run folder has its own recipe.yaml
            auto_configure_optimizers=False,  # would need the parameters before the model is loaded
            trainer_defaults=TRAINER_DEFAULTS,
            parser_class=RecipeParser,
            parser_kwargs={
                "prog": f"unlearnkit {verb}",
                "parser_mode": MODE,
                "print_config": "--print_recipe",
                "dump_header": None,
            },
        )

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """Adds ``--recipe`` beside ``--config``, and ``--help_all``."""
        parser = self.parser_class(**kwargs)
        parser.add_argument(
            "-r", "--recipe", "-c", "--config", action=ActionConfigFile, help="A recipe."
        )
        return parser

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the seed, a number always: a run that cannot be repeated proves nothing."""
        parser.add_argument("--seed_everything", type=int, default=SEED, help="Seed of everything.")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds what a recipe has beside model, data and trainer."""
        parser.add_argument(
            "--evaluate",
            type=list[Suite],
            default=[],
            help="Suites that are run before and after.",
        )
        parser.add_argument(
            "--run_dir", type=str, default="runs", help="Folder of the run folders."
        )
        parser.add_argument(
            "--gold", type=str | None, default=None, help="A model that never saw the forget set."
        )
        for target, source in LINKED.items():
            parser.link_arguments(source, dotted(target))

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses; Lightning's own version warns of the arguments that `main` passes on."""
        self.config = parser.parse_args(args)  # pyright: ignore[reportArgumentType]

    def instantiate_classes(self) -> None:
        """Builds module, data module and trainer.

        Raises:
            RecipeError: For values that their constructors refuse.
        """
        try:
            super().instantiate_classes()
        except (MisconfigurationException, TypeError, ValueError) as error:
            raise RecipeError(in_words(str(error))) from error
        self.suites: list[Suite] = self.config_init["evaluate"]

    @property
    def recipe_text(self) -> str:
        """The recipe with every default resolved; it can be run again."""
        return self.parser.dump(self.config, skip_link_targets=True, skip_none=False)
