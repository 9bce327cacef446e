"""Loggers of a recipe, by short name."""

from __future__ import annotations

import importlib
import os
from importlib.util import find_spec
from typing import Any

from unlearnkit.errors import RecipeError
from unlearnkit.registry import did_you_mean

_MODULE = "lightning.pytorch.loggers"
_SHORT = {
    "tensorboard": "TensorBoardLogger",
    "wandb": "WandbLogger",
    "mlflow": "MLFlowLogger",
    "csv": "CSVLogger",
    "comet": "CometLogger",
}
# Module that a logger needs, and the extra of ours that installs it.
_NEEDS = {
    "TensorBoardLogger": (("tensorboard", "tensorboardX"), "tensorboard"),
    "WandbLogger": (("wandb",), "wandb"),
    "MLFlowLogger": (("mlflow",), "mlflow"),
    "CometLogger": (("comet_ml",), None),
}
# Lightning asks for a folder; ours is found by `tensorboard --logdir runs`.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "TensorBoardLogger": {"save_dir": "runs", "name": "tensorboard"},
    "CSVLogger": {"save_dir": "runs", "name": "csv"},
}


def logger_entry(name: str | None, arguments: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Class path and arguments of a logger.

    Args:
        name: ``tensorboard``, ``wandb``, ``mlflow``, ``csv``, ``comet``, the name of a Lightning
            class, or a dotted path.
        arguments: What the recipe gives it.

    Raises:
        RecipeError: If there is no such logger, or its package is not installed.

    Example:
        >>> logger_entry("csv", {"save_dir": "logs"})
        ('lightning.pytorch.loggers.CSVLogger', {'save_dir': 'logs', 'name': 'csv'})
    """
    known = importlib.import_module(_MODULE).__all__
    if name is None:
        raise RecipeError(f"no name; give {{name: ...}}, one of {', '.join(_SHORT)}")
    cls = name.removeprefix(f"{_MODULE}.")
    if "." in cls:
        return name, arguments
    cls = _SHORT.get(cls.lower(), cls)
    if cls not in known:
        raise RecipeError(
            f"no logger is named '{name}'.{did_you_mean(name, [*_SHORT, *known])}",
            hint=f"Known: {', '.join(_SHORT)}, and Lightning's own by class name. Or give a "
            "dotted path such as my_module.MyLogger.",
        )
    modules, extra = _NEEDS.get(cls, ((), None))
    if modules and not any(map(find_spec, modules)):
        package = f"unlearnkit[{extra}]" if extra else modules[0].replace("_", "-")
        raise RecipeError(
            f"the logger {name} needs the package {modules[0]}, which is not installed",
            hint=f"pip install '{package}'",
        )
    defaults = dict(_DEFAULTS.get(cls, {}))
    if cls == "MLFlowLogger" and not {"tracking_uri", "save_dir"} & arguments.keys():
        # Its own default is a folder of files, which MLflow itself now refuses.
        defaults["tracking_uri"] = os.environ.get("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    return f"{_MODULE}.{cls}", {**defaults, **arguments}
