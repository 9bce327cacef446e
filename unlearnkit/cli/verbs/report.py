"""``unlearnkit report``: writes results as one HTML file."""

from __future__ import annotations

from unlearnkit.cli import console
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.verbs.base import call

HELP = "Write what was found of a run or any model as one HTML file, with charts."


def command(argv: list[str]) -> None:
    """Writes the report of the model that the words name."""
    call(report, argv, "report")


def report(
    run: str, out: str | None = None, before: str | None = None, card: str | None = None
) -> None:
    """Write what was found of a run or any model as one HTML file that needs no network.

    It shows the files of the run folder as they are now, those that evaluate and attack added
    included; of any other model what evaluate and attack kept of it.

    Args:
        run: Run folder; or a model, adapter or edit folder, hub id or folder of results.
        out: The file; by default report.html in the run folder or beside the results, which is made
            anew. Any other file must not exist.
        before: Of a model that is no run: the starting model, which was evaluated too. By default
            the reference of its evaluation.
        card: New Markdown file: the model card, of a model that is no run. A run has one.
    """
    with heavy_imports():
        from unlearnkit.runs.other.card import write_other_card
        from unlearnkit.runs.report import report as written

    if card is not None:
        write_other_card(run, card, before)
        console.out().print(card, soft_wrap=True)
    console.out().show_line(written(run, out, before))
