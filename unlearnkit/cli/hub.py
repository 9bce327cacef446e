"""Sends model folders to the Hugging Face Hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from unlearnkit.edits.weights import is_composite
from unlearnkit.errors import UserError
from unlearnkit.files import refuse_links_out
from unlearnkit.models.base import EMBEDDED
from unlearnkit.models.check import check_whole
from unlearnkit.redact import redacted
from unlearnkit.runs.conclude import conclusion_of
from unlearnkit.runs.folder import load_run

_ADAPTER = "adapter_config.json"
_MERGE = (
    "Send one model: unlearnkit export {run} FOLDER --merge, then unlearnkit push FOLDER {repo}"
)


@dataclass(frozen=True)
class Parcel:
    """A model folder, and where it goes.

    Args:
        folder: The model.
        repo: ``user/name``.
        sizes: Its files in bytes, by name.
    """

    folder: Path
    repo: str
    sizes: dict[str, int]

    @property
    def where(self) -> str:
        """Address of the repository."""
        return f"{constants.ENDPOINT}/{self.repo}"


def parcel_of(run: str, repo: str, *, force: bool = False) -> Parcel:
    """What is to be sent of a run, or of a model's folder.

    Args:
        run: Run folder, or the folder of a model.
        repo: ``user/name``.
        force: Let a collapsed model pass.

    Raises:
        UserError: If there is no whole model, it is collapsed, or would not load elsewhere; if
            ``repo`` is no name.
    """
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise UserError(f"'{repo}' is no name of a repository: {_line(error)}") from error
    if "/" not in repo:
        raise UserError(f"'{repo}' is no name of a repository: expected user/name")
    place = Path(run)
    is_model = any((place / name).is_file() for name in ("config.json", _ADAPTER))
    if is_model and not (place / "recipe.yaml").is_file():
        folder = place
    else:
        found = load_run(place)
        folder, verdict = found.model, conclusion_of(found).verdict
        if verdict.name == "collapsed" and not force:
            raise UserError(
                f"{run} is collapsed: {verdict.sentence}",
                hint="Others would take it for a working model. --force sends it all the same.",
            )
    refuse_links_out(folder)
    check_whole(str(folder), key="RUN")
    _refuse_pointers(folder, _MERGE.format(run=run, repo=repo))
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return Parcel(
        folder, repo, {file.relative_to(folder).as_posix(): file.stat().st_size for file in files}
    )


def send(parcel: Parcel, *, private: bool = False, api: HfApi | None = None) -> str:
    """Sends the files as one commit, and gives its address.

    Args:
        parcel: What is sent, and where to.
        private: Make the repository private.
        api: A client of the Hub.

    Raises:
        UserError: If the Hub cannot be reached, refuses, or holds a public repository of that
            name where a private one is wanted.
    """
    api = HfApi() if api is None else api
    with _explained(parcel.repo):
        try:
            known = api.repo_info(parcel.repo)
        except RepositoryNotFoundError:
            known = None
        if known is None:
            api.create_repo(parcel.repo, private=private, exist_ok=True)
        elif private and not known.private:
            raise UserError(
                f"--private: {parcel.where} is there already, and is public",
                hint="Make it private in its settings, or give another name.",
            )
        commit = api.upload_folder(
            repo_id=parcel.repo,
            folder_path=parcel.folder,
            allow_patterns=list(parcel.sizes),
            commit_message="Model unlearned with unlearnkit",
        )
    return str(commit.commit_url)


def _refuse_pointers(folder: Path, hint: str) -> None:
    """Refuses a model that is nothing without folders of this machine."""
    adapter = folder / _ADAPTER
    if adapter.is_file():
        config = json.loads(adapter.read_text(encoding="utf-8"))
        below = str(config.get("base_model_name_or_path"))
        local = below in EMBEDDED or below == "smollm2" or Path(below).exists()
        if local or Path(below).is_absolute():
            raise UserError(
                f"the adapter belongs to {below}, which others cannot load by that name", hint=hint
            )
    elif is_composite(str(folder)):
        raise UserError("the model points at others, which stand on this machine", hint=hint)


@contextmanager
def _explained(repo: str) -> Iterator[None]:
    """Tells what goes wrong at the Hub as a mistake that a user can mend; never a token."""
    try:
        yield
    except OfflineModeIsEnabled as error:
        raise UserError(
            "the Hub is switched off: HF_HUB_OFFLINE is set", hint="Unset it, or see --dry_run."
        ) from error
    except LocalTokenNotFoundError as error:
        raise UserError("no token for the Hub is known here", hint="hf auth login") from error
    except HfHubHTTPError as error:
        hints = {
            401: "Log in: hf auth login",
            403: f"The token may not write to {repo}: hf auth login, with one that may.",
        }
        hint = hints.get(error.response.status_code)
        raise UserError(f"the Hub refuses: {_line(error)}", hint=hint) from error
    except UserError:
        raise
    except Exception as error:  # The client's library has its own for a network that is down.
        raise UserError(
            f"the Hub at {constants.ENDPOINT} cannot be reached: {_line(error)}",
            hint="Check the connection; --dry_run shows what would be sent without one.",
        ) from error


def _line(error: BaseException) -> str:
    """The first line of an error, without secrets."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return redacted(lines[0] if lines else type(error).__name__)
