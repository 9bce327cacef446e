"""Reference values on disk, read by stream and response."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor

from unlearnkit.data.example import Example
from unlearnkit.data.pack import Batch


def keys_of(examples: Iterable[Example]) -> Tensor:
    """``[S]`` numbers that prompts and responses are known by: equal ones have equal values.

    A batch may hold a row twice, and a part of a step some of its responses.
    """
    digests = (
        blake2b(array("q", (len(e.prompt_ids), *e.prompt_ids, *e.response_ids)), digest_size=8)
        for e in examples
    )
    found = [int.from_bytes(each.digest(), "big", signed=True) for each in digests]
    return torch.tensor(found, dtype=torch.long)


class _Open(NamedTuple):
    """A stream's values, memory-mapped; response ``s`` is ``borders[s]:borders[s + 1]``."""

    file: Any
    borders: list[int]
    keys: Tensor  # ascending
    order: Tensor  # the response of each

    def spans(self, examples: Iterable[Example]) -> list[slice]:
        """Where the values of some responses are.

        Raises:
            LookupError: If one is not there.
        """
        wanted = keys_of(examples)
        places = torch.searchsorted(self.keys, wanted).clamp(max=len(self.keys) - 1)
        if not torch.equal(self.keys[places], wanted):
            raise LookupError("a response has no stored reference values")
        numbers = self.order[places].tolist()
        return [slice(self.borders[number], self.borders[number + 1]) for number in numbers]


class StoredValues:
    """Reads a batch's values; it travels to loader processes, which open files anew.

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
        first = 0
        for name, part in batch.streams.items():
            stored = self._opened(name)
            file, last = stored.file, first + len(part.rows)
            spans = stored.spans(batch.examples[first:last]) if part.rows else []
            first = last
            for key in set(file.keys()) - {"borders", "keys"}:
                pieces = [file.get_slice(key)[span] for span in spans]
                # A part of a step may have no row of a stream.
                joined = torch.cat(pieces) if pieces else file.get_slice(key)[:0]
                # Tokens are named by their place in the batch, and not all streams have all keys.
                blank = joined.new_zeros(len(batch.target), *joined.shape[1:])
                values.setdefault(key, blank)[part.tokens] = joined
        return values

    def _opened(self, name: str) -> _Open:
        if name not in self._open:
            file = safe_open(self._paths[name], framework="pt")
            keys, order = file.get_tensor("keys").sort()
            self._open[name] = _Open(file, file.get_tensor("borders").tolist(), keys, order)
        return self._open[name]
