"""Runs: folder, training, evaluation, and later use."""

from unlearnkit.runs.export import export, save_model
from unlearnkit.runs.fit import fit
from unlearnkit.runs.folder import Run, RunSummary, load_run, new_folder

__all__ = ["Run", "RunSummary", "export", "fit", "load_run", "new_folder", "save_model"]
