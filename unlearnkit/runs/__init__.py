"""A run: its folder, training with evaluation before and after, and what is done with it later."""

from unlearnkit.runs.export import export, save_model
from unlearnkit.runs.fit import fit
from unlearnkit.runs.folder import Run, RunSummary, load_run, new_folder

__all__ = ["Run", "RunSummary", "export", "fit", "load_run", "new_folder", "save_model"]
