"""Composite models: folders that point at other models.

Each file registers what it has with transformers and with `unlearnkit.models.load`, so a new
composite model is two files: the model, and how it is read from its folder.
"""

import pkgutil
from importlib import import_module

for _module in pkgutil.iter_modules(__path__, f"{__name__}."):
    import_module(_module.name)
