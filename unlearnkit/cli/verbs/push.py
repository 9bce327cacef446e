"""``unlearnkit push``: sends a run's model to the Hugging Face Hub."""

from __future__ import annotations

from unlearnkit.cli import console
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.verbs.base import call

HELP = "Send a run's model to the Hugging Face Hub."


def command(argv: list[str]) -> None:
    """Sends the model of the run that the words name."""
    call(push, argv, "push")


def push(
    run: str, repo: str, private: bool = False, dry_run: bool = False, force: bool = False
) -> None:
    """Send a run's model, with its card, to a repository of the Hugging Face Hub.

    The repository is made if there is none; otherwise it gets one more commit. The token is the
    one of `hf auth login`, or of the variable HF_TOKEN. A collapsed model is refused, and so is
    one that points at a folder of this machine.

    Args:
        run: Run folder, or the folder of a model, such as one that export wrote.
        repo: Name of the repository: user/name.
        private: Make it private. A public repository is refused.
        dry_run: Show what would be sent, and where to; nothing is sent.
        force: Send a collapsed model too.
    """
    with heavy_imports():
        from unlearnkit.cli import hub, tables

    parcel = hub.parcel_of(run, repo, force=force)
    tables.show_parcel(parcel.where, private, parcel.sizes, sent=not dry_run)
    if not dry_run:
        address = hub.send(parcel, private=private)
        console.out().show_line(f"sent to {address}")
