"""Suites: evaluations that a recipe calls by name, run before and after unlearning."""

from unlearnkit.suites.base import Suite, SuiteContext, SuiteResult
from unlearnkit.suites.copyright import Copyright
from unlearnkit.suites.hallucination import Hallucination
from unlearnkit.suites.harmful import Harmful
from unlearnkit.suites.lm_eval import LmEval, Wmdp
from unlearnkit.suites.multiple_choice import MultipleChoice
from unlearnkit.suites.muse import Muse
from unlearnkit.suites.privacy import Privacy
from unlearnkit.suites.requests import Requests
from unlearnkit.suites.rwku import Rwku
from unlearnkit.suites.tofu import Tofu

__all__ = [
    "Copyright",
    "Hallucination",
    "Harmful",
    "LmEval",
    "MultipleChoice",
    "Muse",
    "Privacy",
    "Requests",
    "Rwku",
    "Suite",
    "SuiteContext",
    "SuiteResult",
    "Tofu",
    "Wmdp",
]
