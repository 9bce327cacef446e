"""Finds models in the cache of the Hub; asks it once."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from huggingface_hub import HfApi, constants, get_session, try_to_load_from_cache
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

logger = logging.getLogger(__name__)
_SECONDS = 5.0
"""For one answer of the Hub."""
_asked_once = False
"""Whether `hub_asked_once` is entered."""
_WEIGHTS = re.compile(r"model(-\d+-of-\d+)?\.safetensors")
_BESIDE = (".json", ".jinja", ".model", ".txt")
"""What is read of a model beside its weights: configs and tokenizers."""


@dataclass(frozen=True)
class OnHub:
    """What is known of a repository of the Hub without downloading it.

    Args:
        cached: Whether all that is needed of it is in the cache.
        size: Bytes of the files that are read; None where neither cache nor Hub tells them.
        at_most: Whether ``size`` is that of the whole repository, of which a part is read.
        remark: What the Hub says beside, such as that it asks for a log-in.

    Example:
        >>> OnHub(cached=False).size is None
        True
    """

    cached: bool
    size: int | None = None
    at_most: bool = False
    remark: str = ""


def is_hub_id(path: str) -> bool:
    """Whether a model of this path is asked for at the Hub.

    Args:
        path: As a recipe names it, with short names resolved.

    Example:
        >>> is_hub_id("some/model"), is_hub_id("./some/model"), is_hub_id(".")
        (True, False, False)
    """
    if path.startswith((".", "~", "/")) or Path(path).exists():
        return False
    try:
        validate_repo_id(path)
    except HFValidationError:
        return False
    return True


def find_model(repo: str, revision: str | None = None, gguf_file: str | None = None) -> OnHub:
    """A model in the cache, or else what the Hub says of its size, in one request at most.

    Args:
        repo: Its id.
        revision: Branch, tag or commit.
        gguf_file: The file that is read of it, where it is one of GGUF.

    Example:
        >>> find_model("no/such-model").cached
        False
    """
    first = try_to_load_from_cache(repo, gguf_file or "config.json", revision=revision)
    if isinstance(first, str):
        if gguf_file:
            return OnHub(True, Path(first).stat().st_size)
        files = {f.name: f.stat().st_size for f in Path(first).parent.iterdir() if f.is_file()}
        if _weights_of(Path(first).parent) <= files.keys():
            return OnHub(True, sum(size for name, size in files.items() if _is_read(name)))
    info, remark = ask_hub(repo, "model", revision)
    files = sizes_of(info)
    read = {n: size for n, size in files.items() if (n == gguf_file if gguf_file else _is_read(n))}
    has_weights = any(name == gguf_file or _WEIGHTS.fullmatch(name) for name in read)
    return OnHub(False, sum(read.values()) if has_weights else None, remark=remark)


def ask_hub(repo: str, kind: Literal["model", "dataset"], revision: str | None = None) -> Any:
    """What the Hub says of a repository with its files, and a remark; None where it is not asked.

    Args:
        repo: Its id.
        kind: Of the repository.
        revision: Branch, tag or commit.
    """
    if constants.is_offline_mode():
        return None, ""
    try:
        info = HfApi().repo_info(
            repo, repo_type=kind, revision=revision, files_metadata=True, timeout=_SECONDS
        )
    except RepositoryNotFoundError:
        return None, "the Hub has none of this name, or shows it after a log-in"
    except RevisionNotFoundError:
        return None, f"the Hub has no revision {revision} of it"
    except Exception as error:  # Of whichever client the Hub's library uses.
        logger.debug("%s: its size is not known: %s", repo, error)
        if _asked_once and not isinstance(error, HfHubHTTPError | OfflineModeIsEnabled):
            _give_up(error)  # it answered at first
        return None, ""
    return info, "given after consent on its page and a log-in" if info.gated else ""


def sizes_of(info: Any) -> dict[str, int]:
    """Bytes of each file of a repository, by what `ask_hub` gave."""
    return {each.rfilename: each.size or 0 for each in (info.siblings or [])} if info else {}


def _is_read(name: str) -> bool:
    return bool(_WEIGHTS.fullmatch(name)) or ("/" not in name and name.endswith(_BESIDE))


def _weights_of(folder: Path) -> set[str]:
    """Names of the files of weights that a cached model needs."""
    whole, index = "model.safetensors", folder / "model.safetensors.index.json"
    if not (folder / whole).is_file():
        with suppress(OSError, ValueError, LookupError, AttributeError, TypeError):
            return set(json.loads(index.read_bytes())["weight_map"].values())
    return {whole}


@contextmanager
def hub_asked_once() -> Iterator[None]:
    """Within it, a Hub that does not answer is asked once; after that only its cache is read.

    The client of the Hub asks six times for each file, for half a minute, and libraries ask for
    several files. Nothing is sent as long as nobody needs the Hub.
    """
    global _asked_once
    before, asked = constants.HF_HUB_OFFLINE, False

    def ask(_request: Any) -> None:
        nonlocal asked
        if asked:
            return
        asked = True  # also ends the hook's own request
        try:
            # Closed after it: a connection that the Hub then drops would serve the next request.
            get_session().head(
                constants.ENDPOINT, headers={"Connection": "close"}, timeout=_SECONDS
            )
        except Exception as error:  # Of whichever client the Hub's library uses.
            _give_up(error)
            raise OfflineModeIsEnabled(f"{constants.ENDPOINT} cannot be reached") from error

    session = get_session()
    hooks = session.event_hooks
    session.event_hooks = {**hooks, "request": [*hooks["request"], ask]}
    _asked_once = True
    try:
        yield
    finally:
        _asked_once = False
        session.event_hooks = hooks
        constants.HF_HUB_OFFLINE = before


def _give_up(error: Exception) -> None:
    constants.HF_HUB_OFFLINE = True
    logger.warning(
        "the Hub at %s cannot be reached (%s): what is in its cache is read. Check the "
        "connection, or name a folder in place of a hub id",
        constants.ENDPOINT,
        str(error) or type(error).__name__,
    )
