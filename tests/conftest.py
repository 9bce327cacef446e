"""Fixtures that all tests share; nothing here reaches the network."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rows import write_rows
from stub import save_stub, stub_model, stub_tokenizer


@pytest.fixture(autouse=True)
def _forget_own_files() -> Iterator[None]:
    """Own code that one test's command used is none of the next's."""
    yield
    if (signature := sys.modules.get("unlearnkit.cli.recipe.signature")) is not None:
        signature.own_files.clear()


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
