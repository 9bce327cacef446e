"""Search as an Optuna study, shared by one or several processes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from unlearnkit.errors import RecipeError
from unlearnkit.plain import told
from unlearnkit.registry import did_you_mean
from unlearnkit.search.found import Budget, Found, Settings, TrialResult, broken
from unlearnkit.search.one_trial import run_one_trial
from unlearnkit.search.space import Range, parse_space
from unlearnkit.search.storage import open_storage
from unlearnkit.search.wanted import Values, Wanted

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

Report: TypeAlias = Callable[[int, Values], None]
"""Takes a step and the metrics there; raises `optuna.TrialPruned` for a trial without a chance."""
MakeRun: TypeAlias = Callable[[Settings, Report], Values]
"""Trains with the settings and gives the metrics, by address."""
HEARTBEAT, PATIENCE = 5, 15
"""Seconds between signs of life of a trial, and after how many without one it is given again."""
_VALUES, _VIOLATIONS, _BEGUN = "values", "violations", "begun"
SAMPLERS = {"tpe": "TPESampler", "random": "RandomSampler"}
"""How settings are drawn: near to what was good (Bergstra et al. 2011), or blindly."""


class Search:
    """A study and its storage; several processes may work on one.

    Args:
        storage: URL of a database, such as ``sqlite:///study.db``.
        name: Name of the study in it; a study of that name continues.
        space: Ranges by setting.
        wanted: Targets and bounds.
        stages: Metrics ``before`` and of ``gold``, which levels refer to.
        budget: Where it ends.
        seed: Of the sampler.
        sampler: One of `SAMPLERS`.

    Raises:
        RecipeError: If a level refers to what was not measured.
        UserError: Without Optuna (``unlearnkit[tune]``), or if the storage cannot be opened.
    """

    def __init__(
        self,
        storage: str,
        name: str,
        space: Mapping[str, Range],
        wanted: Wanted,
        stages: Mapping[str, Values],
        budget: Budget,
        seed: int = 0,
        sampler: str = "tpe",
    ) -> None:
        self.space, self.wanted, self.stages, self.budget = space, wanted, stages, budget
        self.began = time.monotonic()
        wanted.distance({}, stages)
        wanted.violations({}, stages)
        self._storage = open_storage(storage, HEARTBEAT, PATIENCE)
        self._study = self._made(name)
        self._seed, self._sampler, self._draws = seed, sampler, False

    def _made(self, name: str) -> Study:
        import optuna

        return optuna.create_study(
            storage=self._storage,
            study_name=name,
            pruner=optuna.pruners.MedianPruner(n_startup_trials=8, n_warmup_steps=0),
            load_if_exists=True,
        )

    def work(self, run: MakeRun, after: Callable[[], None] = lambda: None) -> None:
        """Runs trials until the budget is spent, beside other processes that do.

        A trial whose process died is given again, with the same settings.

        Args:
            run: Trains with settings, and gives metrics.
            after: Called after each trial.
        """
        while self._waits_for_turn():
            run_one_trial(self._study, lambda trial: self._objective(trial, run), catch=(_Surplus,))
            after()

    def found(self) -> Found:
        """The trials that ended so far."""
        from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
        from optuna.trial import TrialState

        trials = [_result(each) for each in self._study.trials if each.state.is_finished()]
        ended = [each for each in trials if each.state in ("complete", "pruned")]
        complete = [t for t in self._study.trials if t.state == TrialState.COMPLETE]
        importances: dict[str, float] = {}
        if len({each.value for each in complete}) > 3:
            importances = get_param_importances(
                self._study, evaluator=PedAnovaImportanceEvaluator()
            )
        return Found(ended, dict(importances))

    def _objective(self, trial: Any, run: MakeRun) -> float:
        import optuna

        self._storage.record_heartbeat(trial._trial_id)
        trial.set_user_attr(_BEGUN, True)
        if self._taken(before=trial.number) >= self.budget.trials:
            raise _Surplus  # another process began the last one at the same moment
        self._draw_as_no_other_process(trial.number)
        settings = {name: each.suggest(trial, name) for name, each in self.space.items()}

        def report(step: int, values: Values) -> None:
            # By distance alone, those that forget too much would end those that keep the bounds.
            missed = broken(self.wanted.violations(values, self.stages))
            trial.report(self.wanted.distance(values, self.stages) + missed, step)
            if trial.should_prune():
                raise optuna.TrialPruned

        values = run(settings, report)
        violations = self.wanted.violations(values, self.stages)
        trial.set_user_attr(_VALUES, dict(values))
        trial.set_user_attr(_VIOLATIONS, violations)
        for bound, amount in zip(self.wanted.keep, violations, strict=True):
            trial.set_constraint(f"{bound.key} {bound.side}", amount)
        return self.wanted.distance(values, self.stages)

    def _draw_as_no_other_process(self, number: int) -> None:
        """Seeds the sampler by the first trial of this process, which no other one has.

        Processes that begin at one moment, or a study that goes on, would draw the same again.
        """
        import optuna

        if not self._draws:
            draws = getattr(optuna.samplers, SAMPLERS[self._sampler])
            self._study.sampler = draws(seed=(self._seed + 1_000_003 * number) % 2**32)
            self._draws = True

    def _waits_for_turn(self) -> bool:
        """Whether this process shall begin a trial; waits for those of others at the end."""
        import optuna
        from optuna.trial import TrialState

        while True:
            minutes = self.budget.minutes
            if minutes is not None and time.monotonic() - self.began > 60 * minutes:
                return False
            optuna.storages.fail_stale_trials(self._study)
            self._fail_unbegun()
            if self._taken() < self.budget.trials:
                return True
            states = [each.state for each in self._study.get_trials(deepcopy=False)]
            if TrialState.RUNNING not in states:
                return False
            time.sleep(0.5)

    def _fail_unbegun(self) -> None:
        """Fails trials whose process died before its first sign of life; they have no settings."""
        from optuna.trial import TrialState

        for each in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            age = datetime.now() - (each.datetime_start or datetime.now())
            if _BEGUN not in each.user_attrs and age.total_seconds() > PATIENCE:
                self._study.tell(each.number, state=TrialState.FAIL, skip_if_finished=True)

    def _taken(self, before: int | None = None) -> int:
        """Trials that ended or run, of all or of those before one."""
        from optuna.trial import TrialState

        counted = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING)
        trials = self._study.get_trials(deepcopy=False, states=counted)
        return sum(before is None or each.number < before for each in trials)


def refuse_unknown_sampler(given: Any) -> None:
    """Refuses what is none of `SAMPLERS`.

    Raises:
        RecipeError: With the nearest name.
    """
    if not isinstance(given, str) or given not in SAMPLERS:
        guess = did_you_mean(str(given), [*SAMPLERS])
        raise RecipeError(f"sampler: expected {' or '.join(SAMPLERS)}, found {told(given)}.{guess}")


class _Surplus(Exception):
    """A trial beyond the budget."""


def _result(trial: FrozenTrial) -> TrialResult:
    duration = trial.duration
    return TrialResult(
        trial.number,
        dict(trial.params),
        trial.state.name.lower(),
        trial.value if trial.state.name == "COMPLETE" else None,
        trial.user_attrs.get(_VALUES, {}),
        trial.user_attrs.get(_VIOLATIONS, []),
        0.0 if duration is None else round(duration.total_seconds(), 2),
    )


def search_recipe(
    make_run: MakeRun,
    *,
    search: Mapping[str, Any],
    towards: Mapping[str, Any],
    keep: Mapping[str, Any] | None = None,
    before: Values | None = None,
    gold: Values | None = None,
    trials: int = 40,
    minutes: float | None = None,
    storage: str = "sqlite:///study.db",
    name: str = "search",
    seed: int = 0,
    sampler: str = "tpe",
) -> Found:
    """Searches settings whose metrics come near to targets and keep bounds.

    Trials are kept in the storage: the same call continues where it was stopped, and several
    processes may make it at once. Choose on rows apart from those that you report.

    Args:
        make_run: Called with the settings and a function ``report(step, metrics)``, which may be
            called while it trains; returns the metrics by address.
        search: Ranges by setting, such as ``{"lr": {"log": [1e-5, 1e-3]}}``.
        towards: Levels by metric: a number, ``gold``, or such as ``0.5 * before``.
        keep: Bounds by metric: a level is the least value, ``{at_most: LEVEL}`` the greatest.
        before: Metrics of the starting model, which distances are measured from.
        gold: Metrics of a model that never saw the forget set.
        trials: Trials that end, pruned ones counted.
        minutes: After which no trial is begun.
        storage: URL of a database.
        name: Name of the study in it.
        seed: Of the sampler.
        sampler: ``tpe`` draws near to what was good, ``random`` blindly.

    Returns:
        What was found.

    Raises:
        RecipeError: For ranges, levels, budgets or a sampler that cannot be read.
        UserError: Without Optuna (``unlearnkit[tune]``), or if the storage cannot be opened.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> url = f"sqlite:///{Path(tempfile.mkdtemp())}/study.db"
        >>> found = search_recipe(
        ...     lambda settings, report: {"forget/f1": (settings["x"] - 3) ** 2},
        ...     search={"x": {"int": [0, 9]}}, towards={"forget/f1": 0}, trials=12, storage=url)
        >>> len(found.trials), found.best.feasible
        (12, True)
    """
    stages = {"before": before or {}} | ({} if gold is None else {"gold": gold})
    wanted = Wanted.parse(towards, keep)
    budget = Budget(trials, minutes)
    refuse_unknown_sampler(sampler)
    study = Search(storage, name, parse_space(search), wanted, stages, budget, seed, sampler)
    study.work(make_run)
    return study.found()
