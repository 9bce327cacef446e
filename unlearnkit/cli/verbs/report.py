"""``unlearnkit report``: writes a run's results as one HTML file."""

from __future__ import annotations

from unlearnkit.cli import console
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.verbs.base import call

HELP = "Write what a run found as one HTML file, with charts and generations."


def command(argv: list[str]) -> None:
    """Writes the report of the run that the words name."""
    call(report, argv, "report")


def report(run: str, out: str | None = None) -> None:
    """Write what a run found as one HTML file that needs no network.

    It shows the files of the run folder as they are now, those that evaluate and attack added
    included.

    Args:
        run: Run folder.
        out: The file; by default report.html in the run folder, which is made anew. Any other
            file must not exist.
    """
    with heavy_imports():
        from unlearnkit.runs.report import report as written

    console.out().print(str(written(run, out)), markup=False, soft_wrap=True)
