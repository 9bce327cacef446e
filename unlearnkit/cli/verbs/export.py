"""``unlearnkit export``: writes a run's model as a transformers folder."""

from __future__ import annotations

from unlearnkit.cli import console
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.verbs.base import call

HELP = "Write a run's model to a folder that transformers loads."


def command(argv: list[str]) -> None:
    """Writes the model of the run that the words name."""
    call(export, argv, "export")


def export(run: str, out: str, merge: bool = False) -> None:
    """Write a run's model to a folder that transformers loads.

    Args:
        run: Run folder, or the folder of a model, an adapter or an edit.
        out: Folder to write; it must not exist.
        merge: Make it stand alone: merge an adapter into its base model; copy the models that an
            edit such as uld or o3 points at.
    """
    with heavy_imports():
        from unlearnkit import runs

    console.out().show_line(runs.export(run, out, merge=merge))
