"""The environment of a run: versions, fingerprints, command line, sizes."""

from __future__ import annotations

import platform
import resource
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from unlearnkit.data.encoded import data_fingerprint
from unlearnkit.data.streams.base import StreamData
from unlearnkit.models.base import BaseModel
from unlearnkit.models.fingerprint import (
    model_fingerprint,
    tokenizer_fingerprint,
)
from unlearnkit.redact import redacted_values, redacted_words

PACKAGES = (
    "unlearnkit", "torch", "lightning", "transformers", "peft", "datasets", "torchmetrics",
    "tokenizers", "numpy",
)  # fmt: skip


def describe(
    base: str | BaseModel,
    data: dict[str, StreamData],
    tokenizer: Any,
    facts: Mapping[str, Any],
    known: Mapping[str, Mapping[str, Any]] = {},
) -> dict[str, Any]:
    """The contents of ``environment.json``.

    Args:
        base: The model that the run starts from.
        data: Streams by name.
        tokenizer: The tokenizer.
        facts: More keys: how the run trains.
        known: Fingerprints of streams under ``fingerprint``, where they have been made.
    """
    found = {
        "command": redacted_words(sys.argv),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: version_of(name) for name in PACKAGES},
        "model": {"base": str(getattr(base, "path", base)), "fingerprint": model_fingerprint(base)},
        "tokenizer": {"fingerprint": tokenizer_fingerprint(tokenizer)},
        "data": {
            name: {
                "rows": len(each),
                "dropped": each.dropped,
                "cut_rows": cut.cut if (cut := each.cuts()) else 0,
                "cut_tokens": cut.tokens if cut else 0,
                "fingerprint": known.get(name, {}).get("fingerprint") or data_fingerprint(each),
            }
            for name, each in data.items()
        },
        **facts,
    }
    return redacted_values(found)


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)


def version_of(package: str) -> str | None:
    """The version of an installed package, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None
