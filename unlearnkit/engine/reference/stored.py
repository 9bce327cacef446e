"""Reference values on disk, read by stream and row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from unlearnkit.data.pack import Batch


class _Open(NamedTuple):
    """A stream's values, memory-mapped; row ``r`` is ``borders[r]:borders[r + 1]``."""

    file: Any
    borders: list[int]


class StoredValues:
    """Reads the values of a batch's rows; it travels to loader processes, which open files anew.

    Args:
        folder: Has a file ``<stream>.safetensors`` for each stream.
        streams: Their names.
    """

    def __init__(self, folder: Path, streams: Iterable[str]) -> None:
        self._paths = {name: folder / f"{name}.safetensors" for name in streams}
        self._open: dict[str, _Open] = {}

    def __getstate__(self) -> dict[str, Any]:
        """The paths alone."""
        return {"_paths": self._paths, "_open": {}}

    def __call__(self, batch: Batch) -> Mapping[str, Tensor]:
        """``[N, ...]`` of each kind of value, on the CPU; 0 where a stream has none of a kind."""
        values: dict[str, Tensor] = {}
        for name, part in batch.streams.items():
            file, borders = self._opened(name)
            rows = list(dict.fromkeys(part.rows))
            for key in set(file.keys()) - {"borders"}:
                pieces = [file.get_slice(key)[borders[row] : borders[row + 1]] for row in rows]
                # A part of a step may have no row of a stream.
                joined = torch.cat(pieces) if rows else file.get_slice(key)[:0]
                # Tokens are named by their place in the batch, and not all streams have all keys.
                blank = joined.new_zeros(len(batch.target), *joined.shape[1:])
                values.setdefault(key, blank)[part.tokens] = joined
        return values

    def _opened(self, name: str) -> _Open:
        if name not in self._open:
            file = safe_open(self._paths[name], framework="pt")
            self._open[name] = _Open(file, file.get_tensor("borders").tolist())
        return self._open[name]
