"""``unlearnkit check``: judges a run or any other model by goals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.recipe.document import load_yaml
from unlearnkit.cli.verbs.base import call
from unlearnkit.errors import UserError

HELP = "Say whether a run or any model meets its goals; exit code 3 if not."


def command(argv: list[str]) -> None:
    """Judges the model that the words name."""
    call(check, argv, "check")


def check(run: str, goals: str | None = None, before: str | None = None) -> None:
    """Say what a run or any other model comes to, and exit with code 3 if it misses a goal.

    Without goals the verdict decides: near gold and forgotten pass. With goals they decide; a
    collapsed model never passes. What evaluate and attack added to the run folder counts too; any
    other model is judged by what these two kept of it.

    Args:
        run: Run folder; or a model, adapter or edit folder, hub id or folder of results.
        goals: YAML file with goals in place of the recipe's; a recipe with the section goals will
            do.
        before: Of a model that is no run: the starting model, which was evaluated too. By default
            the reference of its evaluation.
    """
    with heavy_imports():
        from unlearnkit.cli.conclusion import GOALS_NOT_MET, show_conclusion
        from unlearnkit.runs.conclude import conclusion_of
        from unlearnkit.runs.other.judged import judged

    found = conclusion_of(judged(run, before), None if goals is None else _read(Path(goals)))
    met = show_conclusion(found.as_json())
    if not (met if found.goals else found.verdict.status == "good"):
        raise SystemExit(GOALS_NOT_MET)


def _read(file: Path) -> Any:
    """The goals of a file.

    Raises:
        UserError: If it cannot be read, or holds none.
    """
    from yaml import YAMLError

    from unlearnkit.verdict import read_goals

    try:
        tree = load_yaml(file.read_text(encoding="utf-8"))
        goals = tree.get("goals", tree) if isinstance(tree, dict) else tree
        if not read_goals(goals):
            raise ValueError("it holds no goals")
    except (OSError, ValueError, YAMLError) as error:
        raise UserError(f"--goals: {file}: {error}", title="usage") from error
    return goals
