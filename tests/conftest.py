"""Fixtures that all tests share; nothing here reaches the network."""

from __future__ import annotations

import os

# Threads of this process and of those it starts: one, whatever the machine and the shell say.
os.environ.setdefault("UNLEARNKIT_TEST_THREADS", "1")
os.environ["OMP_NUM_THREADS"] = os.environ["UNLEARNKIT_TEST_THREADS"]
# Before the first import of transformers, which reads them once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["UNLEARNKIT_CACHE"] = ""  # no test leaves tokens behind

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from rows import write_rows
from stub import save_stub, stub_model, stub_tokenizer

# Loaded as plugins already; --doctest-modules would import them again, all under one name.
collect_ignore_glob = ["*conftest.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    # Here and not in conformance/, where a run of all tests would find them too late.
    parser.addoption(
        "--golden", type=Path, help="folder of stored objective values (default: ours)"
    )
    parser.addoption(
        "--golden-metrics", type=Path, help="folder of stored metric values (default: ours)"
    )
    parser.addoption(
        "--need-extras", action="store_true", help="fail where a library of an extra is missing"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("extra"):
        (library,) = mark.args
        if find_spec(library) is None:
            end = pytest.fail if item.config.getoption("--need-extras") else pytest.skip
            end(f"{library} is not installed")


@pytest.fixture(autouse=True, scope="session")
def _threads() -> None:
    torch.set_num_threads(int(os.environ["UNLEARNKIT_TEST_THREADS"]))


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``written(forget="a:cd b:ee")`` is a new folder with that file; see `rows`."""
    return lambda **streams: write_rows(tmp_path_factory.mktemp("rows"), **streams)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def make_stub() -> Callable[..., tuple[Any, Any]]:
    """Model and tokenizer of a stub description, or of the plain stub."""

    def make(spec: dict[str, Any] | None = None) -> tuple[Any, Any]:
        return stub_model(spec), stub_tokenizer(spec)

    return make


@pytest.fixture(scope="session")
def stub_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plain stub as a Hugging Face folder."""
    return save_stub(None, tmp_path_factory.mktemp("stub"))


@pytest.fixture
def letters() -> Any:
    """The plain stub's tokenizer: ``a`` is 4, ``b`` 5, ``c`` 6, ``d`` 7, ``e`` 8, EOS 3."""
    return stub_tokenizer()
