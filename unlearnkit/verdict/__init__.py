"""Judges a run by rules and by the goals of its recipe."""

from unlearnkit.verdict.goals import Goal, GoalResult, check_goals, read_goals
from unlearnkit.verdict.judge import Verdict, judge

__all__ = ["Goal", "GoalResult", "Verdict", "check_goals", "judge", "read_goals"]
