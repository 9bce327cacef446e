"""Databases of studies: processes that look at one moment, and what cannot be opened."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import optuna
import pytest
from optuna.storages import RetryHeartbeatStaleTrialCallback, fail_stale_trials
from sqlalchemy import event

from unlearnkit.errors import UserError
from unlearnkit.search.storage import open_storage


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/study.db"


def opened(url):
    return open_storage(url, heartbeat=1, patience=1)


def study_in(storage):
    return optuna.create_study(storage=storage, study_name="one", load_if_exists=True)


def test_a_dead_trial_is_given_again_once(url):
    """Two processes find it at one moment, and then look for work at one moment."""
    storages = [opened(url), opened(url)]
    studies = [study_in(each) for each in storages]
    dead = studies[0].ask()
    storages[0].record_heartbeat(dead._trial_id)
    time.sleep(3)  # a database counts whole seconds
    both_wait = threading.Barrier(2)

    def before(connection, cursor, statement, *others):
        if statement.startswith("UPDATE trials"):
            with contextlib.suppress(threading.BrokenBarrierError):
                both_wait.wait(1)

    for each in storages:
        event.listen(each.engine, "before_cursor_execute", before)

    def look(study):
        fail_stale_trials(study)
        both_wait.reset()
        return study.ask().number

    with ThreadPoolExecutor(2) as pool:
        numbers = list(pool.map(look, studies))
    first_of = RetryHeartbeatStaleTrialCallback.retried_trial_number
    assert [first_of(each) for each in studies[0].trials] == [None, 0, None]
    assert sorted(numbers) == [1, 2]


def test_a_process_waits_for_one_that_writes(url):
    writer, reader = opened(url), opened(url)
    study_in(writer)
    with ThreadPoolExecutor(1) as pool:
        with writer.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE studies SET study_name = 'two'")
            seen = pool.submit(optuna.study.get_all_study_names, reader)
            time.sleep(0.5)
            assert not seen.done()
        assert seen.result() == ["two"]


def test_processes_that_make_a_database_at_one_moment_both_have_it(url):
    with ThreadPoolExecutor(4) as pool:
        studies = list(pool.map(lambda _: study_in(opened(url)), range(4)))
    assert sorted(each.ask().number for each in studies) == [0, 1, 2, 3]


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_is_refused(url):
    with pytest.raises(UserError, match=r"--storage: .* is a database in memory, which is lost"):
        opened(url)


@pytest.mark.parametrize("url", ["nosuch://x", "sqlite:////no/such/folder/study.db", "study.db"])
def test_what_cannot_be_opened_is_told(url):
    with pytest.raises(UserError, match="--storage: the database cannot be opened") as error:
        open_storage(url, 5, 15, tries=0)
    assert error.value.hint == "Give a URL such as sqlite:///study.db or postgresql://host/name."
