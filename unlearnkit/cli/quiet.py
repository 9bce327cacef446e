"""Imports the heavy libraries without their messages."""

from __future__ import annotations

import gc
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from unlearnkit.cli import console

_MESSAGES = (
    "Experiment logs directory",  # the run folder, which holds the recipe already
    r".*isinstance\(treespec, LeafSpec\)",
    "The number of training batches",  # every step is in metrics.csv where it matters
    r"Found \d+ module\(s\) in eval mode",  # the reference, and so it should be
    "`loftq_config` specified but will be ignored",  # its default, which PEFT itself warns of
    r"`is_gradient_checkpointing` is deprecated",  # PEFT's use of transformers
    "The PEFT config's `base_model_name_or_path` was renamed",  # an embedded model, by its folder
    "The dirpath has changed from",  # a continued run has a folder of its own
    r".*does not have many workers",  # rows are tokenised once and held in memory
)


@contextmanager
def heavy_imports() -> Iterator[None]:
    """For imports of torch, Lightning and the like: a quarter less time, and no start-up lines.

    They make no garbage, so none is looked for meanwhile.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
    # Afterwards: an import of Lightning sets the level of its loggers anew.
    quieten()


class WarningLines(logging.Handler):
    """Shows log records as the command's own warnings, and errors as such."""

    def emit(self, record: logging.LogRecord) -> None:
        """Shows one record."""
        word = "error" if record.levelno >= logging.ERROR else "warning"
        console.warn(record.getMessage(), word)


def quieten() -> None:
    """Silences start-up lines, loading bars and the warnings that are known to mean nothing.

    Other warnings become lines without file and line number, each said once.
    """
    from transformers.utils import logging as transformers_logging

    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    transformers_logging.disable_progress_bar()
    for message in _MESSAGES:
        warnings.filterwarnings("ignore", message=message)
    logging.getLogger("unlearnkit").handlers = [WarningLines(logging.WARNING)]
    said: set[str] = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        # Python tells warnings apart by where they come from too: a suite reads its rows thrice.
        if str(message) not in said:
            said.add(str(message))
            console.warn(str(message))

    warnings.showwarning = show
