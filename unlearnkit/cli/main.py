"""The command ``unlearnkit``: finds the verb and handles its errors.

Nothing here imports torch, so that help and mistakes at the shell answer at once.
"""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import version

from unlearnkit.cli import verbs
from unlearnkit.cli.placed import remember, with_places
from unlearnkit.cli.usage import overview, recipe_help
from unlearnkit.errors import Interrupted, RecipeError, UserError
from unlearnkit.registry import did_you_mean

_OF_THE_DISK = (
    errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENAMETOOLONG,
    errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EFBIG,
)  # fmt: skip
"""Errors of files that a user can mend wherever they come from."""
DONE, OUR_FAULT, USER_ERROR, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command line.

    Args:
        argv: The arguments; by default the process's own.

    Returns:
        0 when done, 1 for a fault of unlearnkit, 2 for what the user can mend, 3 when a goal is
        missed, 130 when stopped by Ctrl-C, 143 by SIGTERM.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [each for each in arguments if each != "--debug"]
    remember(None)
    try:
        with _termination_raises():
            run(arguments)
    except Interrupted as error:
        told = error.told if error.told is not None else not _is_first_here()
        if not told:
            _report(error.message, error.title, error.hint, debug)
        return 128 + error.signum
    except UserError as error:
        if not error.told:
            is_recipe = isinstance(error, RecipeError)
            message = with_places(error.message) if is_recipe else error.message
            _report(message, error.title, error.hint, debug)
        return USER_ERROR
    except KeyboardInterrupt:
        _report("Interrupted.", "stopped", None, debug)
        return INTERRUPTED
    except SystemExit as leaving:  # argparse after --help
        return leaving.code if isinstance(leaving.code, int) else DONE
    except BrokenPipeError:  # `unlearnkit list objectives | head`
        # Python flushes what is left at exit, and would complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            return _fault(error, debug)
        what = f"{error.filename}: " if error.filename else ""
        hint = "Give another folder, make room, or change who may write there."
        _report(f"{what}{error.strerror}", "error", hint, debug)
        return USER_ERROR
    except Exception as error:
        return _fault(error, debug)
    return DONE


def _is_first_here() -> bool:
    """Whether no other process of the run on this machine says the same."""
    launched = os.environ.get("LOCAL_RANK", os.environ.get("SLURM_LOCALID", "0"))
    return launched == "0"


def _fault(error: Exception, debug: bool) -> int:
    from unlearnkit.own_code import own_frame
    from unlearnkit.redact import redacted

    said = f"{type(error).__name__}: {redacted(str(error))}"
    if (own := own_frame(error)) is not None:
        where = f"{own.filename}, line {own.lineno}, in {own.name}"
        _report(f"{where}: {said}", "own code", "Run again with --debug for the traceback.", debug)
        return USER_ERROR
    _report(
        f"This is a fault of unlearnkit: {said}",
        "fault",
        "Run again with --debug for the traceback, and please report it.",
        debug,
    )
    return OUR_FAULT


def run(arguments: list[str]) -> None:
    """Carries out the verb.

    Raises:
        UserError: If there is no such verb, or for whatever the verb refuses.
    """
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        overview()
        return
    verb, rest = arguments[0], arguments[1:]
    if verb in ("--version", "-V"):
        sys.stdout.write(f"unlearnkit {version('unlearnkit')}\n")
        return
    if not verbs.is_own(verb) and verb not in verbs.names():
        raise _no_verb(verb, rest)
    if verb in ("fit", "validate") and {"-h", "--help"} & set(rest):
        sys.stdout.write(recipe_help(verb))
        return
    _warn_of_versions()
    # PEFT loads bitsandbytes wherever it is installed, and that misses a kernel for 4 bits.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    command_of(verb)(rest)


def command_of(verb: str) -> Callable[[list[str]], None]:
    """The function that carries out a verb."""
    if not verbs.is_own(verb):
        return verbs.load(verb).command
    from unlearnkit.cli.verbs.base import own_verb

    return own_verb(verb)


@contextmanager
def _termination_raises() -> Iterator[None]:
    """Lets SIGTERM end the command as Ctrl-C does, through everything that cleans up.

    In a job of SLURM also SIGUSR1, at which Lightning would save a model that is not trained yet.
    """

    def terminate(signum: int, _frame: object) -> None:
        raise Interrupted("Terminated.", signum=signum)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    taken = [signal.SIGTERM, *([signal.SIGUSR1] if "SLURM_JOB_ID" in os.environ else [])]
    before = {each: signal.signal(each, terminate) for each in taken}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@cache
def _warn_of_versions() -> None:
    # Once, and before the first import of a library, which may be what fails.
    from unlearnkit.cli.versions import outside_range

    for sentence in outside_range():
        from unlearnkit.cli.console import warn

        warn(sentence)


def _no_verb(word: str, rest: list[str]) -> UserError:
    known = verbs.names()
    later = next((each for each in rest if each in known), None)
    if word.startswith("-") and later is not None:
        others = " ".join([word, *(each for each in rest if each != later)])
        return UserError(
            f"the verb comes first, its options after it; found {word} before '{later}'.",
            title="wrong order",
            hint=f"unlearnkit {later} {others}",
        )
    hint = f"Verbs: {', '.join(known)}."
    if word.startswith("-"):
        return UserError(f"no verb is given before {word}.", title="no verb", hint=hint)
    return UserError(
        f"there is no verb '{word}'.{did_you_mean(word, known)}",
        title="unknown verb",
        hint=hint,
    )


def _report(message: str, title: str, hint: str | None, debug: bool) -> None:
    from unlearnkit.cli.console import panel

    if debug and sys.exc_info()[0] is not None:
        traceback.print_exc()
    panel(message, title=title, hint=hint)


if __name__ == "__main__":
    sys.exit(main())
