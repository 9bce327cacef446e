"""Marks of tests on a GPU; their code is run on a CPU too, at tiny sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

GPU = (
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
)


def on_gpu(*values: Any) -> Any:
    """A parameter ``("cuda", *values)``."""
    return pytest.param("cuda", *values, marks=GPU)
