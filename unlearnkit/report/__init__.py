"""The report: one HTML file that shows what a run forgot, what it cost, and what is not proven."""

from unlearnkit.report.contents import Contents, LaterEvaluation

__all__ = ["Contents", "LaterEvaluation"]
