"""Settings in optimiser steps that a run is too short for."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

logger = logging.getLogger(__name__)


def tell_unreached(
    warmup: int, objectives: Mapping[str, Any], callbacks: Iterable[Any], steps: int | None
) -> None:
    """Warns where something waits for more optimiser steps than the run has.

    A class names the argument that it waits for as ``acts_after``, or as ``acts_at`` if the step
    with that number is the first in which it does something.

    Args:
        warmup: Warm-up of the learning rate, in steps.
        objectives: Objectives by their names in the recipe.
        callbacks: Callbacks of the trainer.
        steps: Optimiser steps of the whole fit; None if only the clock bounds it.

    Example:
        >>> from unlearnkit.objectives.pdu import PDU
        >>> tell_unreached(3, {"forget": PDU(dual_warmup=70)}, [], 100)  # reached: nothing is told
    """
    if steps is None:
        return
    if warmup >= steps:
        _say("model.warmup", warmup, steps, "no step has the whole rate")
    named = {f"model.objectives.{name}": each for name, each in objectives.items()}
    for each in callbacks:
        named[getattr(each, "registered_name", None) or type(each).__name__] = each
    for name, each in named.items():
        for kind, first in (("acts_after", 1), ("acts_at", 0)):
            argument = getattr(each, kind, None)
            if argument and getattr(each, argument) + first > steps:
                _say(f"{name}.{argument}", getattr(each, argument), steps, "it has no effect")


def _say(key: str, found: int, steps: int, so: str) -> None:
    logger.warning("%s: %d optimiser steps, and the run has %d, so %s", key, found, steps, so)
