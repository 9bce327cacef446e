"""Versions of libraries that move."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version
from rows import TURNS, write_chats

from unlearnkit.cli.main import _warn_of_versions, main
from unlearnkit.cli.versions import outside_range
from unlearnkit.data import ChatStream
from unlearnkit.data.tokens.codec import Codec

ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(monkeypatch):
    """Declares requirements, and what is installed of them."""

    def declare(**found: str) -> None:
        wanted = ["transformers<6,>=5.24", "torch>=2.13", 'torchao>=0.16; extra == "quantize"']
        versions = {"transformers": "5.24.0", "torch": "2.13.0+cpu", "torchao": "0.1", **found}

        def version(name: str) -> str:
            if name not in versions:
                raise metadata.PackageNotFoundError(name)
            return versions[name]

        monkeypatch.setattr("unlearnkit.cli.versions.requires", lambda package: wanted)
        monkeypatch.setattr("unlearnkit.cli.versions.version", version)

    return declare


def test_versions_in_the_range_are_no_matter(installed) -> None:
    installed()
    assert outside_range() == []
    installed(transformers="5.99.1", torch="3.0.0.dev20260101")
    assert outside_range() == []


@pytest.mark.parametrize("found", ["5.23.9", "6.0.0", "4.57.1"])
def test_a_version_outside_is_told_with_package_found_and_supported(installed, found) -> None:
    installed(transformers=found)
    (sentence,) = outside_range()
    assert sentence.startswith(f"transformers is {found}; supported is <6,>=5.24.")


def test_the_command_says_so_before_anything_else(installed, capsys) -> None:
    installed(transformers="4.57.1")
    _warn_of_versions.cache_clear()
    assert main(["fit"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("warning: transformers is 4.57.1")
    assert "no recipe is given" in said


def test_what_ci_installs_lies_in_the_declared_range() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    ranges = {r.name.replace("-", "_"): r.specifier for r in map(Requirement, declared)}
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(re.split("==", line) for line in lines if "==" in line)
    pins = {name.lower().replace("-", "_"): Version(found) for name, found in pins.items()}
    for name in ("torch", "lightning", "transformers"):
        # Where code reaches below the documented surface the next major version is not promised.
        assert {each.operator for each in ranges[name]} == {">=", "<"}, name
    shared = ranges.keys() & pins.keys()
    assert {"torch", "lightning", "transformers", "peft", "jsonargparse"} <= shared
    assert not [name for name in shared if pins[name] not in ranges[name]]


def test_ids_and_supervised_tokens_of_a_chat_row(here, make_stub) -> None:
    """Written out, so that a library that begins to render or encode otherwise is noticed."""
    write_chats(here, "u:aaaa a:cc")
    _, tokenizer = make_stub({"chat_template": TURNS})
    codec = Codec(tokenizer, 64, date="2025-01-01")
    data = ChatStream("chat.jsonl").encode("forget", codec, {}, 0)
    (example,) = data.at(0, 0)
    d, a, e, c, eos = 7, 4, 8, 6, 3
    assert example.prompt_ids == (d, a, a, a, a, e)
    assert example.response_ids == (c, c, eos)
