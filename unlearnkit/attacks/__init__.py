"""Attacks that try to bring a forgotten text back.

Every module of this package is imported with it, so a new attack is one new file. Classes can be
imported from here by name: ``from unlearnkit.attacks import Relearn``.
"""

from unlearnkit.attacks.base import Attack, Curve, Target
from unlearnkit.attacks.kept import Kept, Result, attack_and_keep, read_attack
from unlearnkit.attacks.wording import PASSAGES, QUESTIONS
from unlearnkit.registry import discover

__all__ = [
    "PASSAGES",
    "QUESTIONS",
    "Attack",
    "Curve",
    "Kept",
    "Result",
    "Target",
    "attack_and_keep",
    "read_attack",
]
__getattr__, __dir__ = discover(__name__, Attack)
