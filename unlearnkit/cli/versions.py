"""Checks the versions of the libraries."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, requires, version

from packaging.requirements import Requirement


def outside_range(package: str = "unlearnkit") -> list[str]:
    """A sentence for each required library whose version lies outside the supported range.

    Installers keep to the range; later installations of other packages may not. What is missing
    altogether is left to its import, and so are libraries of extras.

    Example:
        >>> outside_range("no-such-package")
        []
    """
    try:
        declared = [Requirement(each) for each in requires(package) or ()]
    except PackageNotFoundError:  # a checkout that is not installed
        return []
    found: list[str] = []
    for each in declared:
        if each.marker is not None and not each.marker.evaluate({"extra": ""}):
            continue
        try:
            installed = version(each.name)
        except PackageNotFoundError:
            continue
        if not each.specifier.contains(installed, prereleases=True):
            found.append(
                f"{each.name} is {installed}; supported is {each.specifier}. "
                f"pip install '{each.name}{each.specifier}' puts it right."
            )
    return found
