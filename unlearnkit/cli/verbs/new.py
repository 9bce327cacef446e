"""``unlearnkit new``: writes a template and its test."""

from __future__ import annotations

import importlib.util
import keyword
from pathlib import Path

from unlearnkit.cli import console
from unlearnkit.cli.templates import TEMPLATES
from unlearnkit.cli.verbs.base import call
from unlearnkit.errors import UserError
from unlearnkit.new_files import write_exclusively

HELP = "Write a template of an own loss, stream, suite or the like, and its test."


def command(argv: list[str]) -> None:
    """Writes the template that the words name."""
    call(new, argv, "new")


def new(kind: str, path: str) -> None:
    """Write a template to start from, and its test next to it.

    Args:
        kind: What is begun: objective, stream, suite, metric, callback, attack or robust.
        path: The new file, such as my_losses.py; it must not exist.
    """
    target, test = new_files(kind, path)
    for line in (target, test, f"pytest {test}"):
        console.out().show_line(line)


def new_files(kind: str, path: str) -> list[Path]:
    """Writes a template and its test next to it.

    Args:
        kind: What is begun: objective, stream, suite, metric, callback, attack or robust.
        path: The new file, whose name is that of a module.

    Returns:
        The two files.

    Raises:
        UserError: If there is no such kind, the name cannot be imported, or a file exists.
    """
    if kind not in TEMPLATES:
        raise UserError(
            f"there is no template for '{kind}'.",
            title="usage",
            hint=f"Known: {', '.join(TEMPLATES)}.",
        )
    target = Path(path)
    module = target.stem
    _check_name(target, module)
    test = target.with_name(f"test_{module}.py")
    existing = [str(each) for each in (target, test) if each.exists()]
    if existing:
        raise UserError(
            f"{' and '.join(existing)} exist{'' if len(existing) > 1 else 's'} and "
            f"{'are' if len(existing) > 1 else 'is'} not overwritten.",
            hint="Give another name.",
        )
    try:
        for file, text in zip((target, test), TEMPLATES[kind], strict=True):
            write_exclusively(file, text.format(module=module, test=test.name))
    except OSError as error:
        raise UserError(f"{target.parent} cannot be written: {error.strerror}.") from error
    return [target, test]


def _check_name(target: Path, module: str) -> None:
    if target.suffix != ".py" or not module.isidentifier() or keyword.iskeyword(module):
        raise UserError(
            f"'{target.name}' is not the name of a Python module.", hint="my_losses.py is one."
        )
    if importlib.util.find_spec(module) is not None and not target.exists():
        raise UserError(
            f"'{module}' is an installed module, which a recipe would import in place of the file.",
            hint="Give another name, such as my_losses.py.",
        )
