"""Database of a study, which several processes share."""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING

from unlearnkit.errors import UserError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

# Python begins a transaction at the first write unless it is told to leave that to others; a
# process waits for a file that others write, for so many seconds.
_SQLITE = {"isolation_level": None, "timeout": 60}
_GIVE_ONE = "Give a URL such as sqlite:///study.db or postgresql://host/name."


def open_storage(url: str, heartbeat: int, patience: int, tries: int = 5) -> RDBStorage:
    """Opens a database, which is made if it is not there.

    Args:
        url: Such as ``sqlite:///study.db``.
        heartbeat: Seconds between signs of life of a trial.
        patience: Seconds without one, after which a trial is given again.
        tries: How often two processes may hinder each other when they make the tables.

    Raises:
        UserError: Without Optuna, for a database in memory, or if it cannot be opened.

    Example:
        >>> import tempfile
        >>> open_storage(f"sqlite:///{tempfile.mkdtemp()}/study.db", 5, 15).get_all_studies()
        []
    """
    try:
        import optuna
        from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
        from sqlalchemy import event, make_url
        from sqlalchemy.exc import DBAPIError
    except ImportError as error:
        raise UserError(
            "a search needs Optuna",
            title="missing package",
            hint="pip install 'unlearnkit[tune]'",
        ) from error
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    # The signs of life are what lets another process give a dead one's trial again.
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    try:
        given = make_url(url)
        sqlite = given.get_backend_name() == "sqlite"
        storage = RDBStorage(
            url,
            engine_kwargs={"connect_args": _SQLITE} if sqlite else {},
            heartbeat_interval=heartbeat,
            grace_period=patience,
            heartbeat_stale_trial_callback=RetryHeartbeatStaleTrialCallback(),
        )
    except Exception as error:  # SQLAlchemy's, and those of whatever driver the URL names
        if tries and isinstance(error, DBAPIError):
            time.sleep(0.5)
            return open_storage(url, heartbeat, patience, tries - 1)
        raise UserError(
            f"--storage: the database cannot be opened: {error}", title="search", hint=_GIVE_ONE
        ) from error
    if sqlite and given.database in (None, "", ":memory:"):
        raise UserError(
            f"--storage: {url} is a database in memory, which is lost with the process",
            title="search",
            hint=_GIVE_ONE,
        )
    if sqlite:
        # Other databases lock by FOR UPDATE, which SQLite lacks: two processes that look at one
        # moment would both find a trial dead, and both give it again.
        event.listen(storage.engine, "begin", lambda c: c.exec_driver_sql("BEGIN IMMEDIATE"))
    return storage
