"""Suites: evaluations that a recipe calls by name, run before and after unlearning."""

from unlearnkit.suites.base import Suite, SuiteContext, SuiteResult
from unlearnkit.suites.copyright import Copyright

__all__ = ["Copyright", "Suite", "SuiteContext", "SuiteResult"]
