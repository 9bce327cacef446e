"""Strategies of a recipe, by the name that Lightning knows them by."""

from __future__ import annotations

from typing import Any

from unlearnkit.errors import RecipeError
from unlearnkit.registry import did_you_mean

_SHOWN = "fsdp2, ddp"


def strategy_entry(name: str | None, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Class path and arguments of a strategy.

    Args:
        name: Such as ``fsdp2`` or ``ddp``, or a dotted path.
        arguments: What the recipe gives it.

    Raises:
        RecipeError: If there is no such strategy, or it is DeepSpeed's.

    Example:
        >>> strategy_entry("fsdp2", {"shard": 8, "replicate": 2})
        ('unlearnkit.engine.training.fsdp2.FSDP2Strategy', {'shard': 8, 'replicate': 2})
    """
    from lightning.pytorch.strategies import DeepSpeedStrategy, StrategyRegistry

    import unlearnkit.engine.training.fsdp2  # noqa: F401  # registers its strategy
    from unlearnkit.runs.preflight import DEEPSPEED, INSTEAD

    if name is None:
        raise RecipeError(f"no name; give {{name: ...}}, such as {_SHOWN}")
    if "." in name:
        return name, arguments
    known = StrategyRegistry.available_strategies()
    if name not in known:
        raise RecipeError(
            f"no strategy is named '{name}'.{did_you_mean(name, known)}",
            hint=f"Known: {', '.join(known)}. Or give a dotted path.",
        )
    found = StrategyRegistry[name]
    cls = found["strategy"]
    if issubclass(cls, DeepSpeedStrategy):
        raise RecipeError(DEEPSPEED.removeprefix("trainer.strategy: "), hint=INSTEAD)
    return f"{cls.__module__}.{cls.__qualname__}", {**found["init_params"], **arguments}
