"""Builds module, data module and trainer from a recipe."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import yaml
from jsonargparse import set_dumper, set_loader, set_parsing_settings
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from unlearnkit.attacks import Attack
from unlearnkit.cli.recipe.check import LINKED, check
from unlearnkit.cli.recipe.choices import refuse_unknown_blocks
from unlearnkit.cli.recipe.document import Document, load_yaml
from unlearnkit.cli.recipe.names import dotted, expand
from unlearnkit.cli.recipe.overrides import Override, apply
from unlearnkit.cli.recipe.signature import find_own_modules, in_words
from unlearnkit.cli.recipe.tuning import take_tuning
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.generated import GenerationBackend
from unlearnkit.errors import RecipeError
from unlearnkit.families import named
from unlearnkit.module import UnlearningModule
from unlearnkit.runs.phases.yaml_text import dump_yaml
from unlearnkit.runs.preflight import DEEPSPEED, INSTEAD
from unlearnkit.runs.resume.slurm import refuse_unknown_tasks
from unlearnkit.suites import Suite

_REQUIREMENT = re.compile(r"Requirement '([^']+)' not met|Module not found: '([^']+)'")
SEED = 42
# The run folder has its own logger.
TRAINER_DEFAULTS = {"logger": False, "enable_model_summary": False}

# A recipe builds no class where the signature asks for none, and names no code that runs commands:
# giving a list, if only an empty one, turns jsonargparse's own list of refused modules on.
set_parsing_settings(instantiate_subclass_spec_in_any=False, import_path_denylist=[])


def read_again(text: str) -> Any:
    """A text as the parser reads it: what holds other values as YAML, all else as it is.

    Scalars are YAML's already when they reach the parser. Read once more, the text ``# Rules``
    would be a comment, and so null.

    Example:
        >>> read_again("{r: 8}"), read_again("# Rules"), read_again("12")
        ({'r': 8}, '# Rules', '12')
    """
    try:
        value = load_yaml(text)
    except (yaml.YAMLError, ValueError):
        return text
    return value if isinstance(value, dict | list) else text


def written(recipe: dict[str, Any]) -> str:
    """A recipe as YAML, with classes by their names.

    Example:
        >>> print(written({"model": {"base": "tiny", "lora": None}}), end="")
        model:
          base: tiny
          lora: null
    """
    return dump_yaml(named(recipe))


MODE = "recipe"
set_loader(MODE, read_again)
set_dumper(MODE, written)


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


_PARSERS: dict[str, LightningArgumentParser] = {}
"""Parsers by the name that their messages begin with."""


class RecipeCLI(LightningCLI):
    """Reads a recipe and the overrides behind a verb.

    Recipes and overrides are merged and checked before they reach the parser, so that all mistakes
    can be shown at once and the parser sees one recipe in the long form.

    Args:
        document: The recipes, merged; None to print the help of every key and exit.
        overrides: Values from the command line.
        verb: For messages.
        print_only: Print the recipe with every default filled in, and exit.

    Attributes:
        warnings: Things in the recipe that are allowed and probably not meant.
        suites: The suites to run before and after.
        attacks: The attacks that the run ends with.
        generation: What generates texts.
        choices: By the name of each choice, the block that was taken and the names of all.

    Raises:
        RecipeError: With every mistake of the recipe.
    """

    model: UnlearningModule
    datamodule: UnlearningDataModule
    suites: list[Suite]
    attacks: list[Attack]
    generation: GenerationBackend

    def __init__(
        self,
        document: Document | None,
        overrides: Sequence[Override] = (),
        verb: str = "fit",
        print_only: bool = False,
    ) -> None:
        find_own_modules()
        self.print_only = print_only
        self.warnings: list[str] = []
        self.choices: dict[str, tuple[str, list[str]]] = {}
        if document is not None:
            apply(document, overrides)
            refuse_unknown_blocks(document)
            self.choices = document.choices
            take_tuning(document)  # it is checked, and is for `unlearnkit tune` alone
            self.warnings = check(document)
        super().__init__(
            UnlearningModule,
            UnlearningDataModule,
            args=None if document is None else expand(document.tree),
            run=False,
            save_config_callback=None,  # the run folder has its own recipe.yaml
            auto_configure_optimizers=False,  # would need the parameters before the model is loaded
            trainer_defaults=TRAINER_DEFAULTS,
            parser_class=RecipeParser,
            parser_kwargs={
                "prog": f"unlearnkit {verb}",
                "parser_mode": MODE,
                "description": f"Every key of a recipe. In short: unlearnkit {verb} --help",
            },
        )

    def setup_parser(
        self, add_subcommands: bool, main_kwargs: dict[str, Any], subparser_kwargs: dict[str, Any]
    ) -> None:
        """Takes the parser of an earlier recipe; building it is a third of a validation."""
        prog = main_kwargs["prog"]
        if prog not in _PARSERS:
            super().setup_parser(add_subcommands, main_kwargs, subparser_kwargs)
            _PARSERS[prog] = self.parser
        self.parser = _PARSERS[prog]

    def _add_instantiators(self) -> None:
        # They serve `save_hyperparameters`, which is used nowhere: each would write the recipe as
        # YAML and read it again, and would hold this object, with its model, in the parser.
        pass

    def init_parser(self, **kwargs: Any) -> LightningArgumentParser:
        """A parser without ``--config``: recipes are read, merged and checked before."""
        return self.parser_class(**kwargs)

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds the seed, a number always: a run that cannot be repeated proves nothing."""
        parser.add_argument("--seed_everything", type=int, default=SEED, help="Seed of everything.")

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Adds what a recipe has beside model, data and trainer."""
        parser.add_argument(
            "--evaluate", type=list[Suite], default=[], help="Suites that are run before and after."
        )
        parser.add_argument(
            "--run_dir", type=str, default="runs", help="Folder of the run folders."
        )
        parser.add_argument(
            "--gold", type=str | None, default=None, help="A model that never saw the forget set."
        )
        parser.add_argument(
            "--attack", type=list[Attack], default=[], help="Attacks that the run ends with."
        )
        parser.add_argument(
            "--goals",
            type=dict[str, Any] | None,
            default=None,
            help="Bounds of metrics by address, each with at_most or at_least.",
        )
        parser.add_argument(
            "--generation",
            type=GenerationBackend,
            default=GenerationBackend(),
            help="What generates texts.",
        )
        for target, source in LINKED.items():
            parser.link_arguments(source, dotted(target))

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parses the recipe; Lightning's own version would look at ``sys.argv`` and warn."""
        if args is None:
            parser.print_help()
            sys.exit(0)
        self.config = parser.parse_object(args)  # pyright: ignore[reportArgumentType]

    def before_instantiate_classes(self) -> None:
        """Prints the recipe if that is all."""
        if self.print_only:
            sys.stdout.write(self.recipe_text)
            sys.exit(0)

    def instantiate_classes(self) -> None:
        """Builds module, data module and trainer.

        Raises:
            RecipeError: For values that their constructors refuse.
        """
        refuse_unknown_tasks()
        try:
            super().instantiate_classes()
        except ModuleNotFoundError as error:
            missing = _REQUIREMENT.match(str(error))
            if missing is None:  # a fault of ours, or of an own class
                raise
            package = missing[1] or missing[2]
            raise RecipeError(
                f"trainer: a setting of it needs {package}, which is not installed",
                hint=f"pip install '{package}'",
            ) from error
        except (MisconfigurationException, TypeError, ValueError) as error:
            if "DeepSpeed" in str(error):  # it is refused where it is installed too
                raise RecipeError(DEEPSPEED, hint=INSTEAD) from error
            shards = "FSDP" in str(error)
            hint = "Or set trainer.strategy: fsdp2, which also runs on CPUs." if shards else None
            raise RecipeError(in_words(str(error)), hint=hint) from error
        self.suites = self.config_init["evaluate"] or []
        self.attacks = self.config_init["attack"] or []
        self.generation = self.config_init["generation"]

    @property
    def recipe_text(self) -> str:
        """The recipe with every default resolved; it can be run again."""
        return self.parser.dump(self.config, format=MODE, skip_link_targets=True, skip_none=False)
