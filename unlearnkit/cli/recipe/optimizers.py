"""Optimizers of a recipe, by short name."""

from __future__ import annotations

import importlib
import inspect
import os
import shutil
from importlib.util import find_spec

from unlearnkit.errors import RecipeError
from unlearnkit.registry import did_you_mean

DEFAULT_OPTIMIZER = "torch.optim.AdamW"
# Package of an optimizer, and the extra of ours that installs it.
_EXTRAS = {"bitsandbytes": "quantized", "torchao": "quantize"}
# Written out, so that a name is known where its package is missing.
_CLASSES = {
    "bitsandbytes.optim": (
        "Adam8bit", "AdamW8bit", "AdEMAMix", "AdEMAMix8bit", "Lion", "Lion8bit", "RMSprop8bit",
        "PagedAdam", "PagedAdam8bit", "PagedAdamW", "PagedAdamW8bit", "PagedAdEMAMix",
        "PagedAdEMAMix8bit", "PagedLion", "PagedLion8bit",
    ),
    "torchao.optim": ("Adam8bit", "Adam4bit", "AdamFp8", "AdamW8bit", "AdamW4bit", "AdamWFp8"),
}  # fmt: skip
# Names of `optim` in transformers that are not made of the class's name.
_ALSO = {
    "adamw_bnb_8bit": "bitsandbytes.optim.AdamW8bit",
    "paged_adamw_32bit": "bitsandbytes.optim.PagedAdamW",
    "lion_32bit": "bitsandbytes.optim.Lion",
    "paged_lion_32bit": "bitsandbytes.optim.PagedLion",
    "paged_ademamix_32bit": "bitsandbytes.optim.PagedAdEMAMix",
    "rmsprop_bnb_8bit": "bitsandbytes.optim.RMSprop8bit",
    "adamw_torch_8bit": "torchao.optim.AdamW8bit",
    "adamw_torch_4bit": "torchao.optim.AdamW4bit",
}


def optimizer_path(name: str | None) -> str:
    """Dotted path of an optimizer's class.

    Args:
        name: The name of a class of ``torch.optim``; ``adamw_8bit``, ``paged_adamw_8bit``,
            ``lion_8bit`` and others of bitsandbytes; ``torchao_adamw_8bit`` and others of torchao;
            or a dotted path. Case and underscores do not count. None is AdamW.

    Raises:
        RecipeError: If there is no such optimizer, or this machine lacks what it needs.

    Example:
        >>> optimizer_path("sgd")
        'torch.optim.SGD'
    """
    if name is None:
        return DEFAULT_OPTIMIZER
    path = name if "." in name else _known(name)
    package = path.partition(".")[0]
    if package in _EXTRAS and find_spec(package) is None:
        raise RecipeError(
            f"the optimizer {name} needs the package {package}, which is not installed",
            hint=f"pip install 'unlearnkit[{_EXTRAS[package]}]'",
        )
    if package == "torchao" and not _compiler():
        raise RecipeError(
            f"the optimizer {name} is compiled, which needs a C++ compiler, and none is found",
            hint="Install g++, name a compiler in the environment variable CXX, or take adamw_8bit",
        )
    return path


def _compiler() -> bool:
    """Whether a C++ compiler is found."""
    # It imports torch, and help must not.
    from unlearnkit.engine.step.compiled import COMPILERS

    return any(map(shutil.which, (os.environ.get("CXX", ""), *COMPILERS)))


def _known(name: str) -> str:
    torch_optim = importlib.import_module("torch.optim")
    plain = {
        key: f"torch.optim.{key}"
        for key, value in vars(torch_optim).items()
        if inspect.isclass(value) and issubclass(value, torch_optim.Optimizer)
    }
    others = _ALSO | {
        _short(module, cls): f"{module}.{cls}"
        for module, classes in _CLASSES.items()
        for cls in classes
    }
    by_letters = {_letters(key): path for key, path in (others | plain).items()}
    if _letters(name) not in by_letters:
        raise RecipeError(
            f"no optimizer is named '{name}'.{did_you_mean(name, sorted([*plain, *others]))}",
            hint="Known: the classes of torch.optim; of bitsandbytes adamw_8bit, paged_adamw_8bit, "
            "lion_8bit and others; of torchao torchao_adamw_8bit and others. Or give a dotted "
            "path such as my_module.MyOptimizer.",
        )
    return by_letters[_letters(name)]


def _short(module: str, cls: str) -> str:
    """``paged_adamw_8bit`` of PagedAdamW8bit; torchao's begin with its name."""
    text = cls.lower().replace("paged", "paged_")
    for ending in ("8bit", "4bit", "fp8"):
        text = text.replace(ending, f"_{ending}")
    return f"torchao_{text}" if module == "torchao.optim" else text


def _letters(name: str) -> str:
    return name.lower().replace("_", "")
