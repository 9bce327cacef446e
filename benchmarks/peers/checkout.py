"""Checks a checkout of another repository without running its code."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Peer(NamedTuple):
    """A repository that can be compared."""

    name: str
    """Also the name of the module here that calls its losses."""
    title: str
    definitions: Mapping[str, tuple[str, ...]]
    """Files, and the classes or functions that each has to define."""


PEERS = (
    Peer(
        "open_unlearning",
        "open-unlearning",
        {
            "src/trainer/unlearn/grad_ascent.py": ("GradAscent",),
            "src/trainer/unlearn/grad_diff.py": ("GradDiff",),
            "src/trainer/unlearn/npo.py": ("NPO",),
            "src/trainer/unlearn/simnpo.py": ("SimNPO",),
        },
    ),
    Peer(
        "llm_unlearn",
        "llm_unlearn",
        {"utils.py": ("compute_kl", "get_answer_loss", "get_rand_ans_loss")},
    ),
)


class NoCheckout(Exception):
    """The folder cannot be compared with; the message says why, and what would be right."""


def recognise(folder: Path) -> Peer:
    """The repository that a folder is a checkout of.

    Raises:
        NoCheckout: If there is no such folder, or it is a checkout of neither.
    """
    if not folder.is_dir():
        raise NoCheckout(f"there is no folder {folder}")
    lacking: list[str] = []
    for peer in PEERS:
        missing = _missing(folder, peer)
        if not missing:
            return peer
        lacking.append(f"{peer.title} it lacks {', '.join(missing)}")
    raise NoCheckout(f"{folder} is no checkout that is known here: for {'; for '.join(lacking)}")


def _missing(folder: Path, peer: Peer) -> list[str]:
    found: list[str] = []
    for name, wanted in peer.definitions.items():
        file = folder / name
        if not file.is_file():
            found.append(name)
            continue
        defined = _defined(file)
        found += [f"{each} in {name}" for each in wanted if each not in defined]
    return found


def _defined(file: Path) -> set[str]:
    try:
        body = ast.parse(file.read_text(encoding="utf-8")).body
    except (SyntaxError, UnicodeDecodeError):
        return set()
    return {node.name for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
