"""The verb that writes reports: what it takes. The work is imported where it is done."""

from __future__ import annotations

from unlearnkit.cli import console
from unlearnkit.cli.imports import without_collection
from unlearnkit.cli.verbs.base import call


def report(run: str, out: str | None = None) -> None:
    """Write what a run found as one HTML file that needs no network.

    It shows the files of the run folder as they are now, those that evaluate and attack added
    included.

    Args:
        run: Run folder.
        out: The file; by default report.html in the run folder, which is made anew. Any other
            file must not exist.
    """
    with without_collection():
        from unlearnkit.cli.quiet import quieten
        from unlearnkit.runs.report import report as written

    quieten()
    console.out().print(str(written(run, out)), markup=False, soft_wrap=True)


def report_command(argv: list[str]) -> None:
    """Writes a run's report."""
    call(report, argv, "report")
