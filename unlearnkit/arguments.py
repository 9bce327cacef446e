"""Arguments that have no effect beside others, and are refused."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from unlearnkit.errors import UserError


def refuse_idle(idle: Mapping[str, str]) -> None:
    """Raises for arguments without effect.

    Args:
        idle: Why each has none, by its name; nothing is raised for none.

    Raises:
        UserError: With all of them.

    Example:
        >>> refuse_idle({})
        >>> refuse_idle({"lr": "without --epochs", "seed": "without --epochs"})
        Traceback (most recent call last):
        ...
        unlearnkit.errors.UserError: --lr, --seed: have no effect without --epochs
        Leave them out.
    """
    if not idle:
        return
    reasons: dict[str, list[str]] = {}
    for name, why in idle.items():
        reasons.setdefault(why, []).append(f"--{name}")
    lines = [
        f"{', '.join(names)}: {'has' if len(names) == 1 else 'have'} no effect {why}"
        for why, names in reasons.items()
    ]
    hint = f"Leave {'it' if len(idle) == 1 else 'them'} out."
    raise UserError("\n".join(lines), title="usage", hint=hint)


class Arguments:
    """Says which arguments of its constructor the others leave without effect.

    Example:
        >>> class Noisy(Arguments):
        ...     def __init__(self, scale: float = 0.0, seed: int = 0) -> None:
        ...         self.scale, self.seed = scale, seed
        ...
        ...     @property
        ...     def without_effect(self) -> dict[str, str]:
        ...         return {} if self.scale else {"seed": "without --scale"}
        >>> Noisy(scale=1.0, seed=3).refuse_without_effect()
        >>> Noisy(seed=3).refuse_without_effect()
        Traceback (most recent call last):
        ...
        unlearnkit.errors.UserError: --seed: has no effect without --scale
        Leave it out.
    """

    @property
    def without_effect(self) -> dict[str, str]:
        """Arguments that the others leave without effect, each with the reason; by default none.

        The command line refuses those that are given, before anything is read.
        """
        return {}

    def refuse_without_effect(self, given: Mapping[str, object] | None = None) -> None:
        """Raises for arguments that are given and have no effect.

        Args:
            given: Values by argument, None for those that are not; by default the attributes of
                these names that are not the defaults of the constructor.

        Raises:
            UserError: With all of them.
        """
        idle = self.without_effect
        if given is None:
            defaults = inspect.signature(type(self)).parameters
            own = {name: getattr(self, name) for name in idle}
            given = {name: each for name, each in own.items() if each != defaults[name].default}
        refuse_idle({name: why for name, why in idle.items() if given.get(name) is not None})
