"""Finds shipped recipes and recipes given by path."""

from __future__ import annotations

from pathlib import Path

from unlearnkit.errors import RecipeError, UserError
from unlearnkit.redact import printable
from unlearnkit.registry import did_you_mean

_PACKAGE = Path(__file__).resolve().parents[2]
_TABLE = ".expected.json"


def shipped() -> dict[str, Path]:
    """The shipped recipes by name, such as ``copyright`` and ``paper/copyright_opt``."""
    # The wheel carries them inside the package; in a checkout they lie beside it.
    folder = _PACKAGE / "_recipes"
    if not folder.is_dir():
        folder = _PACKAGE.parent / "recipes"
    return {
        path.relative_to(folder).with_suffix("").as_posix(): path
        for path in sorted(folder.rglob("*.yaml"))
    }


def summary(path: Path) -> str:
    """The first comment line of a recipe."""
    with path.open(encoding="utf-8") as lines:
        return next((line.lstrip("# ").strip() for line in lines if line.startswith("#")), "")


def find(recipe: str) -> Path:
    """The file of a recipe given by path or by shipped name.

    Raises:
        RecipeError: If there is none.
    """
    path = Path(recipe)
    if path.is_file():
        return path
    if path.is_dir():
        raise RecipeError(f"{recipe} is a folder, not a recipe file.")
    known = shipped()
    found = known.get(recipe) or known.get(recipe.removesuffix(".yaml"))
    if found is None:
        nearby = [str(each) for each in path.parent.glob("*.y*ml")] if path.parent.is_dir() else []
        raise RecipeError(
            f"there is no recipe '{recipe}': neither a file of that path nor a shipped "
            f"recipe.{did_you_mean(recipe, [*known, *nearby])}",
            hint=f"Shipped: {', '.join(known)}.",
        )
    return found


def recipe_name(path: Path) -> str:
    """The name of a recipe's run folders: its shipped name, or its file name without suffix.

    It is the name of a folder below ``run_dir``, and is shown.
    """
    resolved = path.resolve()
    for name, each in shipped().items():
        if each == resolved:
            return name
    stem = path.stem.lstrip(". ")
    shown = (each if each == printable(each) and each not in "\\\n\t" else "_" for each in stem)
    return "".join(shown) or "recipe"


def expected(name: str) -> Path:
    """A file of published results: a path, or a shipped one by its recipe's name.

    Raises:
        UserError: If the recipe has none, or there is neither such a file nor such a recipe.

    Example:
        >>> expected("published/tofu").name
        'tofu.expected.json'
        >>> expected("published/wmdp")
        Traceback (most recent call last):
        unlearnkit.errors.UserError: --expected: the recipe published/wmdp has no published table.
        Recipes that have one: published/muse, published/tofu. Or give a JSON file of your own.
    """
    tables = {
        each: path.with_suffix(_TABLE)
        for each, path in shipped().items()
        if path.with_suffix(_TABLE).is_file()
    }
    known = name.removesuffix(".yaml")
    if known in tables:
        return tables[known]
    file = Path(name)
    if file.is_file() and file.suffix != ".yaml":
        return file
    if known in shipped() or file.is_file():
        wrong = f"the recipe {name} has no published table."
    else:
        wrong = f"there is neither a file {name} nor a shipped recipe of that name."
        wrong += did_you_mean(name, list(tables))
    raise UserError(
        f"--expected: {wrong}",
        title="expected",
        hint=f"Recipes that have one: {', '.join(tables)}. Or give a JSON file of your own.",
    )
