"""Mixin that lists what the active objectives of a module read."""

from __future__ import annotations

from torch import nn

from unlearnkit.objectives.base import Objective


class ActiveObjectives:
    """Mixin of a module with objectives by name."""

    objectives: nn.ModuleDict

    @property
    def active(self) -> dict[str, Objective]:
        """Objectives with a weight above 0."""
        return {k: o for k, o in self.objectives.items() if o.weight > 0}  # pyright: ignore

    @property
    def streams_read(self) -> set[str]:
        """Names of the streams that an active objective reads."""
        return {stream for o in self.active.values() for stream in o.streams}

    @property
    def streams_referred(self) -> set[str]:
        """Names of the streams whose reference values an active objective reads."""
        return {s for o in self.active.values() if "reference" in o.needs for s in o.streams}

    @property
    def needs(self) -> set[str]:
        """What the active objectives need beside log-probabilities of the policy."""
        return {need for o in self.active.values() for need in o.needs}

    @property
    def layers(self) -> tuple[int, ...]:
        """Decoder blocks whose outputs an active objective reads."""
        return tuple(sorted({layer for o in self.active.values() for layer in o.layers}))
