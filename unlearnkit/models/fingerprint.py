"""Digests by which models and tokenizers are recognised."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from unlearnkit.files import digest_of
from unlearnkit.hashed import file_digest
from unlearnkit.models.base import BaseModel, as_base_model, reading
from unlearnkit.models.loaded import LoadedModel


def model_fingerprint(base: str | BaseModel) -> str:
    """Digest of a local model's config and weights, and of the base below an adapter's.

    Of a hub id it is name and revision.
    """
    resolved = as_base_model(base)
    if isinstance(resolved, LoadedModel):
        return resolved.fingerprint()
    if resolved.offset is not None:
        small = BaseModel(resolved.offset.small, first_blocks=resolved.offset.first_blocks)
        parts = (replace(resolved, offset=None), small)
        return digest_of(repr([*map(model_fingerprint, parts), resolved.offset.alpha]).encode())
    if resolved.first_blocks is not None:
        whole = model_fingerprint(replace(resolved, first_blocks=None))
        return digest_of(f"{whole}, {resolved.first_blocks} blocks".encode())
    folder = Path(resolved.path)
    if not folder.is_dir():
        return f"{resolved.path}@{resolved.revision or 'main'}"
    digest = hashlib.sha256()
    names = [resolved.gguf_file] if resolved.gguf_file else []
    files = [folder / n for n in names] or sorted(
        [*folder.glob("*.safetensors"), *folder.glob("config.json")]
    )
    for file in files:
        digest.update(file.name.encode())
        digest.update(file_digest(file))
    if (folder / "adapter_config.json").is_file():
        below = _below(folder)
        digest.update(model_fingerprint(below).encode() if below else b"")
    return f"sha256:{digest.hexdigest()[:16]}"


def _below(folder: Path) -> str | None:
    """The base that an adapter's folder names.

    Raises:
        RecipeError: If its config is broken, or it stands on itself.
    """
    seen: set[Path] = set()
    found: str | None = None
    while (folder / "adapter_config.json").is_file():
        with reading(BaseModel(str(folder)), "adapter"):
            config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
            named = config.get("base_model_name_or_path") or None
            if named is not None and not isinstance(named, str):
                raise ValueError(f"base_model_name_or_path: expected a name, found {named!r}")
            if folder.resolve() in seen:
                raise ValueError("the adapter names itself as its base")
        found = named if not seen else found
        seen.add(folder.resolve())
        if named is None:
            break
        folder = Path(as_base_model(named).path)
    return found


def tokenizer_fingerprint(tokenizer: Any) -> str:
    """Digest of a tokenizer's vocabulary and rules."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        return digest_of(repr(sorted(tokenizer.get_vocab().items())).encode())
    rules = json.loads(fast.to_str())
    # Traces of the last call, not of the tokenizer.
    for key in ("padding", "truncation"):
        rules.pop(key, None)
    return digest_of(json.dumps(rules, sort_keys=True).encode())
