"""``torch.compile``, decoder block by decoder block."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable

from torch import nn

from unlearnkit.engine.step.forward import decoder_blocks
from unlearnkit.errors import RecipeError

COMPILERS = ("g++", "clang++", "c++", "gcc", "clang")


def compile_blocks(models: Iterable[nn.Module | None]) -> None:
    """Compiles each decoder block in place, for sequences of any length.

    The blocks of a model have one code, so it is compiled once; names in state dicts stay as they
    are. The output head has kernels of its own and is left alone.

    Raises:
        RecipeError: If there is no C++ compiler, which TorchInductor needs.
    """
    if not any(shutil.which(each) for each in (os.environ.get("CXX", ""), *COMPILERS)):
        raise RecipeError(
            "model.compile: torch.compile needs a C++ compiler, and none is found",
            hint="Install g++ or name one in the environment variable CXX, or leave "
            "model.compile out.",
        )
    for model in filter(None, models):
        for block in decoder_blocks(model):
            block.compile(dynamic=True)
