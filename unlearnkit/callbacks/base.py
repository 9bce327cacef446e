"""Callbacks that a recipe calls by name."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

import lightning as L

from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.registry import Registered


class NamedCallback(L.Callback, Registered, ABC):
    """A Lightning callback with a short name; any other callback is used by its dotted path."""

    acts_after: ClassVar[str | None] = None
    """Name of the argument that says after how many optimiser steps it begins."""
    acts_at: ClassVar[str | None] = None
    """Name of the argument that says in which optimiser step it acts first."""

    @property
    def streams(self) -> tuple[str, ...]:
        """Names of the streams that it reads by itself."""
        return ()

    def check_streams(self, data: UnlearningDataModule, module: L.LightningModule) -> None:
        """Refuses a run that it does not go with; its rows are read, and no model is loaded yet.

        Args:
            data: The streams of the run.
            module: What is to be trained.
        """
        return
