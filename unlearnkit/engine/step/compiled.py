"""``torch.compile``, decoder block by decoder block."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from unlearnkit.engine.step.forward import decoder_blocks

COMPILERS = ("g++", "clang++", "c++", "gcc", "clang")
"""What TorchInductor may compile with, beside ``CXX``."""


def compile_blocks(models: Iterable[nn.Module | None], backend: str = "inductor") -> None:
    """Compiles each decoder block in place, for sequences of any length.

    The blocks of a model have one code, so it is compiled once; names in state dicts stay as they
    are. The output head has kernels of its own and is left alone.

    Args:
        models: Models whose blocks are compiled; None is left out.
        backend: Of ``torch.compile``.
    """
    for model in filter(None, models):
        for block in decoder_blocks(model):
            block.compile(dynamic=True, backend=backend)
