"""Preflight: rules that are checked before any weight is read."""

from unlearnkit.engine.preflight.model import MODEL
from unlearnkit.engine.preflight.rule import Rule, refuse
from unlearnkit.engine.preflight.settings import SETTINGS
from unlearnkit.engine.preflight.values import Values

__all__ = ["MODEL", "SETTINGS", "Rule", "Values", "refuse"]
