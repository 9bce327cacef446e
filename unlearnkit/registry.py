"""Classes that a recipe calls by a short name.

A family (objectives, streams, suites, ...) is a base class that inherits `Registered` directly;
its subclasses give their name in the class statement:

    >>> from abc import ABC
    >>> class Shape(Registered, ABC): ...
    >>> class Circle(Shape, name="circle", aliases=("disc",)): ...
    >>> Shape.resolve("disc").__name__
    'Circle'
    >>> sorted(Shape.registered())
    ['circle']
"""

from __future__ import annotations

import difflib
import pkgutil
import re
import sys
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, ClassVar, TypeVar

from unlearnkit.errors import RecipeError

PACKAGE = "unlearnkit."
PLUGIN_GROUP = "unlearnkit.plugins"
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_T = TypeVar("_T", bound="Registered")
_plugins_loaded = False


class UnknownName(RecipeError):
    """No class of the family has that name; the message holds near matches and all names."""


class Registered:
    """Gives a family of classes names.

    In the class statement stand ``name``, ``aliases`` (further names) and ``formerly``: class names
    that it had in earlier versions, whose recipes name classes by their paths.

    Raises:
        TypeError: At the class statement, for a name that is not ``lower_case`` or is taken.
    """

    _by_name: ClassVar[dict[str, type[Any]]]
    _by_alias: ClassVar[dict[str, type[Any]]]
    registered_name: ClassVar[str | None] = None
    passes_on: ClassVar[tuple[type, ...]] = ()
    """Classes other than its bases that the constructor gives its ``**arguments``."""
    _class_names: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(
        cls,
        *,
        name: str | None = None,
        aliases: tuple[str, ...] = (),
        formerly: tuple[str, ...] = (),
        **kwargs: Any,
    ) -> None:
        super().__init_subclass__(**kwargs)
        if Registered in cls.__bases__:
            cls._by_name, cls._by_alias = {}, {}
            return
        cls.registered_name, cls._class_names = name, (cls.__name__, *formerly)
        if name is None:
            return
        for each in (name, *aliases):
            if not _NAME.match(each):
                raise TypeError(
                    f"{cls.__qualname__}: a registered name is lower_case, found {each!r}"
                )
            taken = cls._by_name.get(each) or cls._by_alias.get(each)
            # The same class again is a module that was reloaded, as in a notebook.
            if taken and (taken.__module__, taken.__qualname__) != (
                cls.__module__,
                cls.__qualname__,
            ):
                raise TypeError(
                    f"{cls.__qualname__}: the name {each!r} belongs to "
                    f"{taken.__module__}.{taken.__qualname__}"
                )
        cls._by_name[name] = cls
        cls._by_alias.update(dict.fromkeys(aliases, cls))

    @classmethod
    def registered(cls: type[_T]) -> dict[str, type[_T]]:
        """The family's classes by their first name, installed plugins included."""
        load_plugins()
        return dict(sorted(cls._by_name.items()))

    @classmethod
    def resolve(cls: type[_T], name: str) -> type[_T]:
        """The class of that name or alias.

        Raises:
            UnknownName: With the nearest names and the known ones.
        """
        load_plugins()
        found = cls._by_name.get(name) or cls._by_alias.get(name)
        if found is None:
            known = sorted({*cls._by_name, *cls._by_alias})
            raise UnknownName(
                f"no {family_of(cls)} is named '{name}'.{did_you_mean(name, known)}",
                hint=f"Known: {', '.join(sorted(cls._by_name))}. "
                "Or give a dotted path such as my_module.MyClass.",
            )
        return found

    @classmethod
    def named(cls: type[_T], name: str) -> type[_T]:
        """The class of a registered name, or of a dotted path such as ``my_module.MyClass``.

        Raises:
            UnknownName: If there is none, or it cannot be imported, or is of another family.
        """
        module, _, last = name.rpartition(".")
        if not module:
            return cls.resolve(name)
        try:
            found = getattr(import_module(module), last)
        except Exception as error:  # an own file may fail in any way
            raise UnknownName(
                f"'{name}' cannot be imported: {type(error).__name__}: {error}"
            ) from error
        if not (isinstance(found, type) and issubclass(found, cls)):
            raise UnknownName(f"'{name}' is no {family_of(cls)}.")
        return found

    @classmethod
    def at_path(cls: type[_T], class_path: str) -> type[_T] | None:
        """The family's class that a path inside this package names, wherever it is now.

        The last part of the path tells; modules may have moved since it was written. None for
        paths of other packages, and for classes that this package does not register.
        """
        if not class_path.startswith(PACKAGE):
            return None
        last = class_path.rpartition(".")[2]
        return next(
            (
                each
                for each in cls._by_name.values()
                if each.__module__.startswith(PACKAGE) and last in each._class_names
            ),
            None,
        )


def family_of(cls: type[Registered]) -> str:
    """The family's word in messages: ``objective`` for `Objective` and its subclasses."""
    root = next(c for c in reversed(cls.__mro__) if Registered in c.__bases__)
    return root.__name__.lower()


def did_you_mean(word: str, known: list[str]) -> str:
    """`` Did you mean 'x'?`` for the nearest of the known words, or nothing."""
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""


def load_plugins() -> None:
    """Imports the installed plugins, once; a broken one warns by name and is left out."""
    global _plugins_loaded
    if _plugins_loaded:
        return
    _plugins_loaded = True
    for point in entry_points(group=PLUGIN_GROUP):
        try:
            point.load()
        except Exception as error:
            warnings.warn(
                f"the unlearnkit plugin '{point.name}' ({point.value}) could not be loaded and "
                f"is left out: {type(error).__name__}: {error}",
                stacklevel=2,
            )


def discover(package: str, root: type[_T]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Imports every module of a package and below it: a new member of a family is one new file.

    Args:
        package: Name of the package, which is being imported.
        root: The family's base class.

    Returns:
        The package's ``__getattr__`` and ``__dir__``, by which the family's classes can be
        imported from it by name.
    """
    path = sys.modules[package].__path__
    classes: dict[str, type[_T]] = {}
    for info in pkgutil.walk_packages(path, f"{package}."):
        module = import_module(info.name)
        for value in vars(module).values():
            if (
                isinstance(value, type)
                and issubclass(value, root)
                and value.__module__ == info.name
                and value.registered_name is not None
            ):
                classes[value.__name__] = value

    # Any, since each class has arguments of its own, which `type[root]` would hide.
    def get(name: str) -> Any:
        try:
            return classes[name]
        except KeyError:
            raise AttributeError(f"module '{package}' has no attribute '{name}'") from None

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *classes})

    return get, names
