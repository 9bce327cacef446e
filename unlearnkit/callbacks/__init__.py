"""Lightning callbacks: when to stop, and what to show meanwhile."""

from unlearnkit.callbacks.base import NamedCallback
from unlearnkit.callbacks.collapse_stop import CollapseStop
from unlearnkit.callbacks.evaluate_every import EvaluateEvery
from unlearnkit.callbacks.sample_generations import SampleGenerations

__all__ = ["CollapseStop", "EvaluateEvery", "NamedCallback", "SampleGenerations"]
