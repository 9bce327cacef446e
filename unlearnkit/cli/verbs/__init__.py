"""The verbs, one file each, named as the user types it.

A verb's file holds ``HELP``, its line of ``unlearnkit --help``, and ``command``, which is given the
words after the verb. Nothing heavy is imported at its top, so that help answers at once.
"""

from __future__ import annotations

import pkgutil
from importlib import import_module
from types import ModuleType

_NO_VERBS = ("base",)


def names() -> list[str]:
    """All verbs, in the alphabet's order."""
    found = (info.name for info in pkgutil.iter_modules(__path__))
    return sorted(name for name in found if name not in _NO_VERBS)


def is_own(verb: str) -> bool:
    """Whether a word is the dotted path of a function, which may be a user's own.

    Example:
        >>> is_own("my_tools.audit"), is_own("./audit"), is_own("--model.lr"), is_own("fit")
        (True, False, False, False)
    """
    parts = verb.split(".")
    return len(parts) > 1 and all(part.isidentifier() for part in parts)


def load(verb: str) -> ModuleType:
    """The file of a verb."""
    return import_module(f"{__name__}.{verb}")
