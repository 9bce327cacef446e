"""Data sets in the cache of ``datasets``, and their sizes at the Hub."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import datasets
import pytest

from unlearnkit.data.rows import on_hub
from unlearnkit.data.rows.on_hub import find_dataset
from unlearnkit.models.hub import OnHub

FILES = {"forget10.json": 10, "retain90.json": 100, "raw/a.txt": 1000, "raw/b.txt": 2000}
CONFIGS = [
    {"config_name": "forget10", "data_files": "forget10.json"},
    {"config_name": "retain90", "data_files": [{"split": "train", "path": ["retain90.json"]}]},
    {"config_name": "raw", "data_files": [{"split": "train", "path": "raw/*"}]},
]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Puts configurations into the cache, each of so many bytes."""
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path))

    def put(folder: str, **sizes: int) -> None:
        for name, size in sizes.items():
            place = tmp_path / folder / name / "0.0.0" / "abc"
            place.mkdir(parents=True)
            (place / "dataset_info.json").write_text("{}")
            (place / "rows.arrow").write_bytes(b"0" * (size - 2))

    return put


@pytest.fixture
def asked(cache, monkeypatch):
    """A Hub with one data set; lists what it is asked for."""
    requests: list[str] = []

    def start(card: Any = None) -> list[str]:
        def ask(repo: str, kind: str) -> tuple[Any, str]:
            requests.append(f"{kind} {repo}")
            files = [SimpleNamespace(rfilename=name, size=size) for name, size in FILES.items()]
            page = None if card is None else SimpleNamespace(to_dict=lambda: card)
            return SimpleNamespace(siblings=files, card_data=page), "asked"

        monkeypatch.setattr(on_hub, "ask_hub", ask)
        return requests

    return start


def test_what_is_needed_is_in_the_cache(cache, asked) -> None:
    requests = asked()
    cache("locuslab___tofu", forget10=10, retain90=20, real=30)
    wanted = {"forget10": True, "retain90": True, "holdout10": False}
    assert find_dataset("locuslab/TOFU", wanted) == OnHub(True, 30)
    assert requests == []
    assert not find_dataset("locuslab/TOFU", {**wanted, "missing": True}).cached
    assert not find_dataset("others/TOFU", {"forget10": True}).cached


def test_the_only_configuration_needs_no_name(cache, asked) -> None:
    asked()
    cache("some___rows", raw=10)
    assert find_dataset("some/rows", {None: True}) == OnHub(True, 10)
    cache("some___rows", other=20)
    assert not find_dataset("some/rows", {None: True}).cached
    cache("some___rows", default=30)
    assert find_dataset("some/rows", {None: True}) == OnHub(True, 30)


def test_what_is_not_known_to_be_read_is_perhaps_in_the_cache(cache, asked) -> None:
    asked()
    assert find_dataset("a/b", {}) == OnHub(False, 3110, at_most=True, remark="asked")
    cache("a___b", raw=10)
    assert find_dataset("a/b", {}) == OnHub(True, 10, remark="perhaps not all that is read")


def test_of_configurations_the_files_are_counted_that_the_page_names(asked) -> None:
    requests = asked({"configs": CONFIGS})
    found = find_dataset("locuslab/TOFU", {"forget10": True, "retain90": True, "held": False})
    assert found == OnHub(False, 110, remark="asked")
    assert find_dataset("locuslab/TOFU", {"raw": True}).size == 3000
    assert requests == ["dataset locuslab/TOFU"] * 2


def test_the_only_configuration_of_the_page_needs_no_name(asked) -> None:
    asked({"configs": CONFIGS[2:]})
    assert find_dataset("a/b", {None: True}) == OnHub(False, 3000, remark="asked")


@pytest.mark.parametrize(
    "card", [None, {}, {"configs": CONFIGS[1:]}, {"configs": [{}, "a"]}, {"configs": 3}]
)
def test_where_the_page_does_not_name_them_it_is_the_whole_at_most(asked, card) -> None:
    asked(card)
    found = find_dataset("locuslab/TOFU", {"forget10": True, "retain90": True})
    assert found == OnHub(False, 3110, at_most=True, remark="asked")


def test_offline_it_has_no_size(cache) -> None:
    assert find_dataset("a/b", {None: True}) == OnHub(False)
