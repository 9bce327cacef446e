"""``unlearnkit edit``: makes a model from others without training."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnkit.cli import console
from unlearnkit.cli.models import recipe_of_run
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.recipe.signature import own_class
from unlearnkit.cli.verbs.base import parse, parser_of
from unlearnkit.errors import UserError
from unlearnkit.registry import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unlearnkit.data.example import Example
    from unlearnkit.edits import Edit

HELP = "Make a model by adding, subtracting or combining others, without training."


def command(argv: list[str]) -> None:
    """Makes the model that the words describe."""
    with heavy_imports():
        from unlearnkit.edits import Edit

    known = Edit.registered()
    if not argv or argv[0] in ("-h", "--help"):
        console.out().print(
            "usage: unlearnkit edit EDIT [OPTIONS]      unlearnkit edit EDIT --help\n"
        )
        lines = {
            name: (inspect.getdoc(each) or "").partition("\n")[0] for name, each in known.items()
        }
        console.show_list([(name, line, "") for name, line in lines.items()])
        return
    name, rest = argv[0], argv[1:]
    if "." not in name and name not in known:
        raise UserError(
            f"there is no edit '{name}'.{did_you_mean(name, list(known))}",
            title="usage",
            hint=f"Edits: {', '.join(known)}. Or give a dotted path such as my_module.MyEdit.",
        )
    made, out = _read(own_class(name, Edit) if "." in name else known[name], name, rest)
    made.read_runs(_model_and_rows)
    folder = made.write(out)
    if made.remark:
        console.err().print(made.remark, soft_wrap=True)
    console.out().show_line(folder)


def _read(edit: type[Edit], name: str, argv: list[str]) -> tuple[Edit, str]:
    parser = parser_of(edit, f"edit {name}", positional=False)
    about = "Folder to write; it must not exist."
    parser.add_argument("--out", type=str, required=True, help=about)
    given: dict[str, Any] = parse(parser, edit, argv, defaults=False)
    out = given.pop("out")
    made = edit(**given)
    made.refuse_without_effect(given)
    return made, out


def _model_and_rows(run: str) -> tuple[Path, Sequence[Example]]:
    """A run's model, and its forget rows.

    Raises:
        UserError: If the run did not finish, or has no forget stream.
    """
    from unlearnkit.runs import load_run

    loaded, data = load_run(run), recipe_of_run(run, "edit").datamodule
    data.check()
    if "forget" not in data.data:
        raise UserError(f"the recipe of {loaded.folder} has no stream 'forget' to know its rows by")
    return loaded.model, list(data.data["forget"].examples())
