"""Asks the Hugging Face Hub once where it does not answer."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from huggingface_hub import constants, get_session
from huggingface_hub.errors import OfflineModeIsEnabled

logger = logging.getLogger(__name__)
_SECONDS = 5.0
"""For one answer of the Hub."""


@contextmanager
def hub_asked_once() -> Iterator[None]:
    """Within it, a Hub that does not answer is asked once; after that only its cache is read.

    The client of the Hub asks six times for each file, for half a minute, and libraries ask for
    several files. Nothing is sent as long as nobody needs the Hub.
    """
    before, asked = constants.HF_HUB_OFFLINE, False

    def ask(_request: Any) -> None:
        nonlocal asked
        if asked:
            return
        asked = True  # also ends the hook's own request
        try:
            get_session().head(constants.ENDPOINT, timeout=_SECONDS)
        except Exception as error:  # Of whichever client the Hub's library uses.
            constants.HF_HUB_OFFLINE = True
            logger.warning(
                "the Hub at %s cannot be reached (%s): what is in its cache is read. Check the "
                "connection, or name a folder in place of a hub id",
                constants.ENDPOINT,
                str(error) or type(error).__name__,
            )
            raise OfflineModeIsEnabled(f"{constants.ENDPOINT} cannot be reached") from error

    session = get_session()
    hooks = session.event_hooks
    session.event_hooks = {**hooks, "request": [*hooks["request"], ask]}
    try:
        yield
    finally:
        session.event_hooks = hooks
        constants.HF_HUB_OFFLINE = before
