"""Callbacks that a recipe calls by name."""

from __future__ import annotations

from abc import ABC

import lightning as L

from unlearnkit.registry import Registered


class NamedCallback(L.Callback, Registered, ABC):
    """A Lightning callback with a short name; any other callback is used by its dotted path."""
