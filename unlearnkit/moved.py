"""Names of embedded models and data that the package no longer has."""

from __future__ import annotations

_MOVED = {"tiny/tofu": ("tools/tiny/tofu/stored", "tiny/tofu_power")}
"""By the name that it had: the folder of the repository, and what took its place."""


def moved(name: str) -> str | None:
    """Where embedded data are that the package had before; None of all other names.

    Args:
        name: A model, a file or a folder, as recipes name it.

    Example:
        >>> print(moved("tiny/tofu/forget10.jsonl"))
        tiny/tofu left the package: tools/tiny/tofu/stored of the repository. Use tiny/tofu_power.
        >>> moved("tiny/tofu_power") is None
        True
    """
    for old, (folder, new) in _MOVED.items():
        if name == old or name.startswith(f"{old}/"):
            return f"{old} left the package: {folder} of the repository. Use {new}."
    return None
