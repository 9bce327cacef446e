"""`unlearnkit push`: what is sent, and where to; a client in place of the Hub's, no network."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalTokenNotFoundError,
    RepositoryNotFoundError,
)
from stub import save_stub

from unlearnkit.cli import hub
from unlearnkit.errors import UserError

TOKEN = "hf_" + "abcdefgh" * 4


def response(status):
    return SimpleNamespace(status_code=status, headers={}, request=None)


class ConnectError(Exception):
    """Stands for what the client's library raises when there is no network."""


class Hub:
    """What the Hub's client does, as far as it is used; it keeps what it was told."""

    def __init__(self, private=None, fault=None):
        self.private, self.fault, self.made, self.sent = private, fault, [], []

    def repo_info(self, repo):
        if self.fault is not None:
            raise self.fault
        if self.private is None:
            raise RepositoryNotFoundError("404", response=response(404))
        return SimpleNamespace(private=self.private)

    def create_repo(self, repo, **options):
        self.made.append((repo, options))

    def upload_folder(self, *, repo_id, folder_path, allow_patterns, commit_message):
        self.sent.append((repo_id, Path(folder_path), allow_patterns))
        return SimpleNamespace(commit_url=f"https://hub.example/{repo_id}/commit/1")


@pytest.fixture
def there(monkeypatch):
    """Puts a client in place of the Hub's."""

    def put(**state):
        client = Hub(**state)
        monkeypatch.setattr(hub, "HfApi", lambda: client)
        return client

    return put


@pytest.fixture
def run_folder(folder):
    """A finished run with the verdict that its values give."""

    def make(perplexity=8.0, model="model"):
        place = folder / "runs" / "r" / "1"
        place.mkdir(parents=True)
        (place / "recipe.yaml").write_text("model: {base: tiny}\n")
        values = {"heldout/perplexity": 8.0, "forget/rougeL_recall": 1.0}
        after = {"heldout/perplexity": perplexity, "forget/rougeL_recall": 0.0}
        suites = {"copyright": {"before": values, "after": after}}
        summary = {"recipe": "r", "seed": 0, "suites": suites}
        (place / "summary.json").write_text(json.dumps(summary))
        if model:
            save_stub({"random_init": 1}, place / model)
        return place

    return make


def test_an_option_with_a_dash_is_answered_with_the_one_there_is(command):
    done = command("push", "run", "ada/quiet", "--dry-run")
    assert done.code == 2
    assert "Did you mean '--dry_run'? See unlearnkit push --help." in done.err
    done = command("push", "run", "ada/quiet", "--elsewhere=a")
    assert (done.code, "Did you mean" in done.err) == (2, False)


def test_a_dry_run_lists_files_and_place_and_sends_nothing(command, run_folder, there):
    client = there()
    place = run_folder()
    done = command("push", str(place), "ada/quiet", "--dry_run", "--private")
    assert done.code == 0, done.err
    assert "nothing is sent; it would go to https://huggingface.co/ada/quiet (private)" in done.out
    files = [file for file in (place / "model").iterdir() if file.is_file()]
    assert all(file.name in done.out for file in files)
    total = sum(file.stat().st_size for file in files)
    assert f"{total / 1000:,.1f} kB" in done.out
    assert (client.made, client.sent) == ([], [])


@pytest.mark.parametrize("private", [True, False])
def test_a_new_repository_is_made_and_gets_the_files_of_the_model(
    command, run_folder, there, private
):
    client, place = there(), run_folder()
    done = command("push", str(place), "ada/quiet", *(["--private"] if private else []))
    assert done.code == 0, done.err
    assert client.made == [("ada/quiet", {"private": private, "exist_ok": True})]
    ((repo, sent, names),) = client.sent
    assert (repo, sent) == ("ada/quiet", place / "model")
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= set(names)
    assert "sent to https://hub.example/ada/quiet/commit/1" in done.out


def test_a_public_repository_is_not_taken_for_a_private_one(command, run_folder, there):
    client, place = there(private=False), run_folder()
    done = command("push", str(place), "ada/quiet", "--private")
    assert (done.code, client.made, client.sent) == (2, [], [])
    assert "is there already, and is public" in done.err
    client = there(private=True)
    assert command("push", str(place), "ada/quiet", "--private").code == 0
    assert (client.made, len(client.sent)) == ([], 1)


def test_a_collapsed_run_is_refused_unless_forced(command, run_folder, there):
    client, place = there(), run_folder(perplexity=8000.0)
    done = command("push", str(place), "ada/quiet")
    assert (done.code, client.sent) == (2, [])
    assert "is collapsed" in done.err
    assert "--force" in done.err
    assert command("push", str(place), "ada/quiet", "--force").code == 0
    assert len(client.sent) == 1


def test_what_is_not_finished_or_would_not_load_elsewhere_is_refused(
    command, run_folder, there, folder
):
    client = there()
    unfinished = run_folder(model=None)
    adapter = folder / "adapter"
    save_stub({"random_init": 1}, adapter)
    (adapter / "config.json").unlink()
    config = {"peft_type": "LORA", "base_model_name_or_path": "tiny", "r": 2}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    (adapter / "model.safetensors").rename(adapter / "adapter_model.safetensors")
    for name, said in (
        (str(unfinished), "is not a finished run: it lacks model"),
        ("nowhere", "there is no such folder"),
    ):
        done = command("push", name, "ada/quiet", "--force")
        assert (done.code, said in done.err) == (2, True), done.err
    with pytest.raises(UserError, match="the adapter belongs to tiny, which others cannot"):
        hub._refuse_pointers(adapter, "")
    assert client.sent == []


@pytest.mark.parametrize("name", ["quiet", "ada/bo/quiet", "ada/qu iet", "ada/x--y"])
def test_a_name_that_no_repository_can_have_is_refused(command, run_folder, there, name):
    client = there()
    done = command("push", str(run_folder()), name)
    assert (done.code, client.sent) == (2, [])
    assert "is no name of a repository" in done.err


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (LocalTokenNotFoundError("Token is required"), "no token for the Hub is known here"),
        (HfHubHTTPError(f"401 for {TOKEN}", response=response(401)), "hf auth login"),
        (HfHubHTTPError("403 Forbidden", response=response(403)), "may not write to ada/quiet"),
        (ConnectError(f"no route with {TOKEN}"), "cannot be reached"),
        (OSError("disk"), "cannot be reached"),
    ],
)
def test_what_goes_wrong_is_said_without_the_token(
    command, run_folder, there, monkeypatch, fault, said
):
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    there(fault=fault)
    done = command("push", str(run_folder()), "ada/quiet")
    assert (done.code, said in done.err) == (2, True), done.err
    assert TOKEN not in done.out + done.err
    assert "Traceback" not in done.err


def test_offline_is_said(command, run_folder):
    # The tests run with HF_HUB_OFFLINE, and the Hub's own client refuses.
    done = command("push", str(run_folder()), "ada/quiet")
    assert (done.code, "the Hub is switched off: HF_HUB_OFFLINE is set" in done.err) == (2, True)


def test_the_place_is_the_hub_s_address_and_the_name(run_folder):
    parcel = hub.parcel_of(str(run_folder()), "ada/quiet")
    assert parcel.where == "https://huggingface.co/ada/quiet"
    assert hub.send(parcel, api=Hub()) == "https://hub.example/ada/quiet/commit/1"
