"""Bytes of tensors that are there at one time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class Live(TorchDispatchMode):
    """The most bytes of tensors that were there at one time, beside resident ones.

    Tensors are counted, not the process's memory, of which the C library keeps holes. Tensors that
    an operation uses inside are not seen.
    """

    def __init__(self, resident: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self._resident = {t.untyped_storage()._cdata for t in resident}
        self._live: dict[int, tuple[StorageWeakRef, int]] = {}
        self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(found):
            if isinstance(leaf, torch.Tensor):
                storage = leaf.untyped_storage()
                if storage._cdata in self._resident:
                    continue
                known = self._live.get(storage._cdata)
                if known is None or known[0].expired():
                    self._live[storage._cdata] = StorageWeakRef(storage), storage.nbytes()
                    self._add_up()
        return found

    def _add_up(self) -> None:
        if sum(size for _, size in self._live.values()) > self.peak:
            self._live = {k: v for k, v in self._live.items() if not v[0].expired()}
            self.peak = max(self.peak, sum(size for _, size in self._live.values()))
