"""Digests that recognise the inputs of an evaluation."""

from __future__ import annotations

import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

from unlearnkit import hashed
from unlearnkit.files import digest_of
from unlearnkit.models.base import BaseModel, as_base_model
from unlearnkit.models.fingerprint import model_fingerprint
from unlearnkit.models.load import load_config
from unlearnkit.models.loaded import LoadedModel

_CODE = ("models", "data", "engine", "functional", "metrics", "suites", "plain.py")


def digest(*values: Any) -> str:
    """Digest of plain values, equal where their ``repr`` is.

    Example:
        >>> digest(1, "a") == digest(1, "a"), digest(1) == digest(2)
        (True, False)
    """
    return digest_of(repr(values).encode())


def file_digest(file: Path) -> str:
    """The first 64 bits of the SHA-256 of a file."""
    return hashed.file_digest(file).hex()[:16]


def fingerprint_of(base: str | BaseModel) -> str | None:
    """Digest of all that a model's answers depend on, or None for a hub id of unknown commit."""
    resolved = as_base_model(base)
    if isinstance(resolved, LoadedModel):
        return model_fingerprint(resolved)
    folder = Path(resolved.path)
    if not folder.is_dir():
        commit = getattr(load_config(base), "_commit_hash", None)
        return None if commit is None else f"{resolved.path}@{commit}, {resolved.dtype}"
    parts: list[Any] = [model_fingerprint(resolved), resolved.dtype]
    for name in ("generation_config.json", "adapter_config.json"):
        file = folder / name
        parts.append(file_digest(file) if file.is_file() else None)
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        below = json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path")
        fingerprint = fingerprint_of(below) if below else None
        if fingerprint is None:
            return None
        parts.append(fingerprint)
    return digest(parts)


def code_fingerprint(*more: str) -> str:
    """Digest of the code that computes metrics, and of the versions of its libraries.

    Args:
        *more: Further modules and folders of the package.
    """
    package = Path(__file__).resolve().parents[2]
    parts = [package / part for part in (*_CODE, *more)]
    sources = [f for p in parts for f in ([p] if p.is_file() else sorted(p.rglob("*.py")))]
    versions = [version(name) for name in ("torch", "transformers", "tokenizers", "peft")]
    return digest(versions, [(file.name, file_digest(file)) for file in sources])
