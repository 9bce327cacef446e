"""One phase of a recipe, as a recipe of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unlearnkit.cli.recipe.document import Document, Mistake
from unlearnkit.families import KeyPath
from unlearnkit.plain import told

_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
PHASES, REQUESTS = "phases", "requests"


@dataclass
class Layer:
    """One phase of a recipe.

    Args:
        name: Its folder in the run folder.
        path: Its place in the recipe as it was written.
        document: A recipe of its own: the phase's block laid over the common ones.
        own: Keys that the block itself gives.
        edit: What an edit of weights is given, in place of a training.
    """

    name: str
    path: KeyPath
    document: Document
    own: set[KeyPath] = field(default_factory=set)
    edit: Mapping[str, Any] | None = None

    def written(self, mistake: Mistake) -> Mistake:
        """A mistake of the phase's recipe, by its path in the recipe as it was written."""
        if self.path[0] == PHASES and any(
            covers(key, mistake.path) or covers(mistake.path, key) for key in self.own
        ):
            return mistake._replace(path=(*self.path, *mistake.path))
        return mistake


def covers(key: KeyPath, path: KeyPath) -> bool:
    """Whether a key is a path, or above it."""
    return path[: len(key)] == key


def fault_of_name(name: Any, taken: Sequence[str]) -> str | None:
    """What is wrong with a phase's name, which is also its folder's."""
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        return f"it names a folder: letters, digits, '-', '_' and '.'; found {told(name)}."
    return f"the name '{name}' is given twice." if name in taken else None


def copied(value: Any) -> Any:
    """Mappings and lists anew, all the way down."""
    if isinstance(value, Mapping):
        return {key: copied(each) for key, each in value.items()}
    return [copied(each) for each in value] if isinstance(value, list) else value
