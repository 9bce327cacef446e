"""Makes a language model forget: modular LLM unlearning on Lightning.

The names below are the library's front door; each is imported at its first use, so that
``import unlearnkit`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unlearnkit import cost
    from unlearnkit.callbacks import CollapseStop, SampleGenerations
    from unlearnkit.cli.program import unlearn
    from unlearnkit.data.datamodule import UnlearningDataModule
    from unlearnkit.data.example import Example
    from unlearnkit.data.pack import Batch
    from unlearnkit.data.streams.base import Stream
    from unlearnkit.engine.from_batch import views_from_batch
    from unlearnkit.engine.generation.generate import generate
    from unlearnkit.engine.step.views import StreamView
    from unlearnkit.errors import DataError, RecipeError, UserError
    from unlearnkit.models.base import BaseModel
    from unlearnkit.module import UnlearningModule
    from unlearnkit.objectives.base import Objective
    from unlearnkit.runs import RunSummary, export, fit, load_run
    from unlearnkit.search.study import search_recipe
    from unlearnkit.suites.base import Suite, SuiteContext, SuiteResult

_HOME = {
    "BaseModel": "models.base",
    "Batch": "data.pack",
    "CollapseStop": "callbacks",
    "DataError": "errors",
    "Example": "data.example",
    "Objective": "objectives.base",
    "RecipeError": "errors",
    "RunSummary": "runs",
    "SampleGenerations": "callbacks",
    "Stream": "data.streams.base",
    "StreamView": "engine.step.views",
    "Suite": "suites.base",
    "SuiteContext": "suites.base",
    "SuiteResult": "suites.base",
    "UnlearningDataModule": "data.datamodule",
    "UnlearningModule": "module",
    "UserError": "errors",
    "export": "runs",
    "fit": "runs",
    "generate": "engine.generation.generate",
    "load_run": "runs",
    "search_recipe": "search.study",
    "unlearn": "cli.program",
    "views_from_batch": "engine.from_batch",
}
_ROOMS = ("cost",)
"""Modules of which all names are public."""

__all__ = [
    "BaseModel",
    "Batch",
    "CollapseStop",
    "DataError",
    "Example",
    "Objective",
    "RecipeError",
    "RunSummary",
    "SampleGenerations",
    "Stream",
    "StreamView",
    "Suite",
    "SuiteContext",
    "SuiteResult",
    "UnlearningDataModule",
    "UnlearningModule",
    "UserError",
    "cost",
    "export",
    "fit",
    "generate",
    "load_run",
    "search_recipe",
    "unlearn",
    "views_from_batch",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return importlib.import_module(f"unlearnkit.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'unlearnkit' has no attribute '{name}'")
    return getattr(importlib.import_module(f"unlearnkit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
