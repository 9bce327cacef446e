"""``unlearnkit check``: judges a run by its goals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.recipe.document import load_yaml
from unlearnkit.cli.verbs.base import call
from unlearnkit.errors import UserError

HELP = "Say whether a run meets the goals of its recipe; exit code 3 if not."


def command(argv: list[str]) -> None:
    """Judges the run that the words name."""
    call(check, argv, "check")


def check(run: str, goals: str | None = None) -> None:
    """Say what a run comes to, and exit with code 3 if it misses a goal of its recipe.

    Of a run without goals the verdict decides: near gold and forgotten pass. What evaluate and
    attack added to the run folder counts too.

    Args:
        run: Run folder.
        goals: YAML file with goals in place of the recipe's; a recipe with the section goals will
            do.
    """
    with heavy_imports():
        from unlearnkit.cli.conclusion import GOALS_NOT_MET, show_conclusion
        from unlearnkit.runs.conclude import conclusion_of
        from unlearnkit.runs.folder import load_run

    found = conclusion_of(load_run(run), None if goals is None else _read(Path(goals)))
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
