"""Messages of the libraries below that say nothing to the user of a recipe."""

from __future__ import annotations

import logging
import warnings

from transformers.utils import logging as transformers_logging

_MESSAGES = (
    "Experiment logs directory",  # the run folder, which holds the recipe already
    r".*isinstance\(treespec, LeafSpec\)",
    "The number of training batches",  # every step is in metrics.csv where it matters
    r"Found \d+ module\(s\) in eval mode",  # the reference, and so it should be
    "You have overridden `on_before_batch_transfer`",
    "`loftq_config` specified but will be ignored",  # its default, which PEFT itself warns of
    r".*does not have many workers",  # rows are tokenised once and held in memory
)


def quieten() -> None:
    """Silences start-up lines, loading bars and the warnings that are known to mean nothing."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    transformers_logging.disable_progress_bar()
    for message in _MESSAGES:
        warnings.filterwarnings("ignore", message=message)
