"""Suites: evaluations that a recipe calls by name.

Every module of this package is imported with it, so a new suite is one new file. Classes can be
imported from here by name: ``from unlearnkit.suites import Copyright``.
"""

from unlearnkit.registry import discover
from unlearnkit.suites.base import Probe, Suite, SuiteContext, SuiteResult

__all__ = ["Probe", "Suite", "SuiteContext", "SuiteResult"]
__getattr__, __dir__ = discover(__name__, Suite)
