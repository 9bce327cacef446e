"""What a trial gives is told once, and only by the process that has it."""

from __future__ import annotations

import optuna
import pytest
from optuna.trial import TrialState

from unlearnkit.search.one_trial import run_one_trial


class Surplus(Exception):
    pass


@pytest.mark.parametrize(("error", "caught"), [(ValueError, ()), (Surplus, (Surplus,))])
def test_errors_of_a_trial_are_raised_unless_they_end_it_alone(error, caught) -> None:
    study = optuna.create_study()

    def fails(trial: optuna.Trial) -> float:
        raise error("mine")

    if caught:
        run_one_trial(study, fails, catch=caught)
    else:
        with pytest.raises(error, match="mine"):
            run_one_trial(study, fails)
    assert [each.state for each in study.trials] == [TrialState.FAIL]


@pytest.mark.parametrize("fails", [False, True])
def test_a_trial_that_another_process_has_ended_is_that_one_s(fails, caplog) -> None:
    study = optuna.create_study()

    def run(trial: optuna.Trial) -> float:
        study.tell(trial.number, 7.0)
        if fails:
            raise ValueError("of a trial that is not its own")
        return 1.0

    run_one_trial(study, run)
    assert study.best_value == 7.0
    assert "what it found is dropped" in caplog.text
