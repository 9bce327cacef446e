"""Runs one trial of a study, beside other processes."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import Trial

logger = logging.getLogger(__name__)


def run_one_trial(
    study: Study, objective: Callable[[Trial], float], catch: tuple[type[Exception], ...] = ()
) -> None:
    """Runs one trial of a study, and tells the study how it ends.

    A process that stands still, as on a suspended machine, is taken for dead by the others, which
    give its trial again. When it goes on, the trial is theirs, and what it finds is dropped.

    Args:
        study: One of Optuna, which ``unlearnkit[tune]`` has.
        objective: Gives the value of a trial.
        catch: Errors that end the trial and not the search.

    Example:
        >>> import optuna
        >>> optuna.logging.set_verbosity(optuna.logging.ERROR)
        >>> study = optuna.create_study()
        >>> run_one_trial(study, lambda trial: trial.suggest_float("x", 2, 2))
        >>> study.best_value
        2.0
    """
    lost = False

    def run(trial: Any) -> float:
        nonlocal lost
        try:
            return objective(trial)
        finally:
            lost = study.get_trials(deepcopy=False)[trial.number].state.is_finished()

    try:
        study.optimize(run, n_trials=1, catch=catch)
    except ValueError:  # Optuna ends no trial twice
        if not lost:
            raise
        logger.warning(
            "this process stood still for so long that another one took it for dead and has its "
            "trial; what it found is dropped"
        )
