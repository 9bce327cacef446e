"""``unlearnkit cp``: copies a shipped recipe for editing."""

from __future__ import annotations

from pathlib import Path

from unlearnkit.cli import console
from unlearnkit.cli.recipe.shipped import find
from unlearnkit.cli.verbs.base import call
from unlearnkit.errors import UserError
from unlearnkit.new_files import write_exclusively

HELP = "Copy a shipped recipe, to be edited."


def command(argv: list[str]) -> None:
    """Copies the recipe that the words name."""
    call(copy_recipe, argv, "cp")


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
        write_exclusively(target, source.read_text(encoding="utf-8"))
    except FileExistsError:
        raise UserError(
            f"{target} exists and is not overwritten.", hint="Give another name."
        ) from None
    except OSError as error:
        raise UserError(f"{target} cannot be written: {error.strerror}.") from error
    for line in (target, f"unlearnkit fit --recipe {target}"):
        console.out().show_line(line)
