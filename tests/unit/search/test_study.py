"""Trials of a search: budget, bounds, resume, and processes that die."""

import os
import signal
import time
from multiprocessing import get_context
from types import SimpleNamespace

import optuna
import pytest
from processes import PATIENCE

from unlearnkit.errors import RecipeError, UserError
from unlearnkit.search import study
from unlearnkit.search.found import Budget
from unlearnkit.search.space import parse_space
from unlearnkit.search.study import Search, search_recipe
from unlearnkit.search.wanted import Wanted

SPACE = {"x": {"uniform": [0, 10]}}


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/study.db"


def near_three(settings, report):
    return {"f": abs(settings["x"] - 3), "r": settings["x"] / 10}


def test_the_nearest_trial_that_keeps_the_bounds_is_the_best(url):
    found = search_recipe(
        near_three,
        search=SPACE,
        towards={"f": 0},
        keep={"r": 0.5},
        before={"f": 1.0},
        trials=25,
        storage=url,
    )
    assert len(found.trials) == 25
    # x = 3 is nearest, but r is at least 0.5 from x = 5 on, where f is 2.
    assert found.best.feasible
    assert 5 <= found.best.settings["x"] < 5.5
    assert found.best.distance == pytest.approx(found.best.settings["x"] - 3)
    assert any(each.distance < 2 and not each.feasible for each in found.trials)
    assert found.best.number in {each.number for each in found.pareto}
    assert found.importances == {"x": pytest.approx(1.0)}


def test_without_a_trial_that_keeps_them_the_one_that_breaks_least_is_best(url):
    found = search_recipe(
        near_three, search=SPACE, towards={"f": 0}, keep={"r": 2}, trials=8, storage=url
    )
    assert not found.best.feasible
    assert found.best.settings["x"] == max(each.settings["x"] for each in found.trials)


def test_a_study_goes_on_and_draws_other_numbers_than_it_began_with(url):
    options = {"search": SPACE, "towards": {"f": 0}, "storage": url}
    first = search_recipe(near_three, trials=4, **options)
    second = search_recipe(near_three, trials=9, **options)
    assert second.trials[:4] == first.trials
    assert len({each.settings["x"] for each in second.trials}) == 9
    assert search_recipe(near_three, trials=9, **options).trials == second.trials


def test_a_trial_without_a_chance_is_ended_early(url):
    ended = []

    def run(settings, report):
        report(1, {"f": settings["x"]})
        ended.append(settings["x"])
        return {"f": settings["x"]}

    found = search_recipe(run, search=SPACE, towards={"f": 0}, trials=30, storage=url)
    pruned = [each for each in found.trials if each.state == "pruned"]
    assert pruned
    assert len(ended) == 30 - len(pruned)
    assert all(each.distance is None for each in pruned)
    assert min(each.settings["x"] for each in pruned) > min(ended)


def test_trials_that_break_bounds_do_not_end_those_that_keep_them(url):
    """The more `x` forgets, the nearer a trial seems, and the less it keeps."""
    ended = []

    def run(settings, report):
        values = {"f": 10 - settings["x"], "kept": 10 - 2 * settings["x"]}
        report(1, values)
        ended.append(settings["x"])
        return values

    options = {"search": SPACE, "towards": {"f": 0}, "keep": {"kept": 8}, "storage": url}
    found = search_recipe(run, trials=40, sampler="random", **options)
    pruned = [each.settings["x"] for each in found.trials if each.state == "pruned"]
    assert any(x <= 1 for x in ended)
    assert min(pruned) > 1
    assert found.best.feasible


def test_a_metric_that_cannot_be_measured_is_never_the_best(url):
    def run(settings, report):
        return {} if settings["x"] < 9 else {"f": 1.0}

    found = search_recipe(run, search=SPACE, towards={"f": 0}, trials=30, storage=url)
    assert found.best.settings["x"] >= 9


def test_the_sampler_draws_as_it_is_told(tmp_path):
    def drawn(sampler):
        found = search_recipe(
            lambda settings, report: {"f": abs(settings["x"] - 0.3)},
            search={"x": {"uniform": [0.0, 1.0]}}, towards={"f": 0}, trials=40, sampler=sampler,
            storage=f"sqlite:///{tmp_path}/{sampler}.db",
        )  # fmt: skip
        return [abs(each.settings["x"] - 0.3) for each in found.trials]

    tpe, blind = drawn("tpe"), drawn("random")
    assert tpe[:10] == blind[:10]  # both begin blindly, with one seed
    assert sum(tpe[20:]) < 0.5 * sum(blind[20:])


def test_what_cannot_be_searched_is_refused(url, monkeypatch):
    with pytest.raises(RecipeError, match=r"sampler: expected tpe or random, found 'tpee'.*'tpe'"):
        search_recipe(near_three, search=SPACE, towards={"f": 0}, storage=url, sampler="tpee")
    with pytest.raises(RecipeError, match=r"budget\.trials: expected at least 1, found 0"):
        Budget(0)
    with pytest.raises(RecipeError, match=r"budget\.minutes: expected more than 0, found 0"):
        Budget(1, 0)
    with pytest.raises(RecipeError, match="refers to gold, but there is no such model"):
        search_recipe(near_three, search=SPACE, towards={"f": "gold"}, storage=url)
    with pytest.raises(UserError, match="--storage: the database cannot be opened"):
        search_recipe(near_three, search=SPACE, towards={"f": 0}, storage="nosuch://x")
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(UserError, match="a search needs Optuna") as error:
        search_recipe(near_three, search=SPACE, towards={"f": 0}, storage=url)
    assert error.value.hint == "pip install 'unlearnkit[tune]'"


def _made(url, trials):
    wanted = Wanted.parse({"f": 0})
    return Search(url, "search", parse_space(SPACE), wanted, {"before": {}}, Budget(trials))


def _work(url, trials, log):
    study.HEARTBEAT, study.PATIENCE = 1, 4

    def run(settings, report):
        time.sleep(0.15)
        with open(log, "a") as file:
            file.write(f"{settings['x']}\n")
        return {"f": settings["x"]}

    _made(url, trials).work(run)


def test_a_trial_whose_process_died_at_once_is_not_waited_for(url, monkeypatch):
    waits = []

    def wait(seconds):
        waits.append(seconds)
        assert len(waits) < 3, "it waits on"
        time.sleep(seconds)

    monkeypatch.setattr(study, "PATIENCE", 0.2)
    monkeypatch.setattr(study, "time", SimpleNamespace(monotonic=time.monotonic, sleep=wait))
    search = _made(url, 1)
    search._study.ask()  # as a process that is killed before its first sign of life
    search.work(lambda settings, report: {"f": settings["x"]})
    assert len(search.found().trials) == 1


def test_processes_that_begin_at_one_moment_draw_other_numbers(url):
    searches = [_made(url, 8), _made(url, 8)]
    drawn = []
    for _ in range(4):
        for each in searches:
            trial = each._study.ask()
            each._objective(trial, lambda settings, report: drawn.append(settings["x"]) or {"f": 1})
    assert len(set(drawn)) == 8


def test_a_process_that_was_taken_for_dead_goes_on_with_another_trial(url, caplog):
    other = _made(url, 3)
    stood_still = []

    def run(settings, report):
        if not stood_still:  # as the other process does with a trial without a sign of life
            other._study.tell(0, state=optuna.trial.TrialState.FAIL)
            stood_still.append(settings["x"])
        return {"f": settings["x"]}

    _made(url, 3).work(run)
    found = other.found().trials
    assert [each.number for each in found] == [1, 2, 3]
    assert stood_still[0] not in [each.settings["x"] for each in found]
    assert "took it for dead" in caplog.text


@pytest.mark.slow
def test_no_trial_is_lost_or_run_twice_when_workers_die(url, tmp_path):
    """Two workers, one of which is killed again and again."""
    log = tmp_path / "log"
    spawn = get_context("spawn")
    start = lambda: spawn.Process(target=_work, args=(url, 14, str(log)))  # noqa: E731
    steady, doomed = start(), start()
    steady.start()
    doomed.start()
    end = time.monotonic() + PATIENCE
    for _ in range(3):
        while doomed.is_alive() and not (log.exists() and log.read_text().count("\n") > 1):
            assert time.monotonic() < end
            time.sleep(0.05)
        time.sleep(0.2)
        if doomed.is_alive():
            os.kill(doomed.pid, signal.SIGKILL)
        doomed.join()
        doomed = start()
        doomed.start()
    steady.join(PATIENCE)
    doomed.join(PATIENCE)
    assert (steady.exitcode, doomed.exitcode) == (0, 0)
    found = _made(url, 14).found()
    assert len(found.trials) == 14
    assert len({each.settings["x"] for each in found.trials}) == 14
    finished = [float(line) for line in log.read_text().split()]
    assert {each.settings["x"] for each in found.trials} <= set(finished)
