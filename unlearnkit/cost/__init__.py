"""Memory of runs, from the shapes of models, without torch.

from unlearnkit import cost

shapes = cost.shapes_of(config)  # of transformers, or its ``config.json`` as a dict
print(cost.memory_of(shapes, cost.Training(tokens=4096, rank=16, reference="adapter_off")))
"""

from __future__ import annotations

from unlearnkit.cost.memory import Memory, memory_of
from unlearnkit.cost.shapes import Shapes, shapes_of
from unlearnkit.cost.training import Training

__all__ = ["Memory", "Shapes", "Training", "memory_of", "shapes_of"]
