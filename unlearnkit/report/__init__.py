"""HTML reports of runs and comparisons."""

from unlearnkit.report.contents import Contents, LaterEvaluation

__all__ = ["Contents", "LaterEvaluation"]
