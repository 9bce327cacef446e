"""Counts where a step would wait for a device, on a machine that has none.

Tensors that a GPU run has on the host (made without a device, or copied from it, and what is
computed from such alone) are told from the others by a mark. Waits are: a number read from an
unmarked tensor, an operation whose result's size depends on values, a copy to the host, and a copy
to the device that is not asynchronous.
"""

from __future__ import annotations

import traceback
from typing import Any

import lightning as L
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_SIZED_BY_VALUES = {
    "nonzero", "bincount", "equal", "is_nonzero", "masked_select", "_unique2", "unique_dim",
    "unique_consecutive", "_local_scalar_dense", "histogram",
}  # fmt: skip
_READS = {"tolist", "cpu", "numpy", "__array__"}
_MADE = {"tensor", "as_tensor", "zeros", "ones", "empty", "full", "arange", "rand", "randn"}


def _on_host(tensor: torch.Tensor) -> bool:
    return getattr(tensor, "_kept_on_host", False)


def _mark(found: Any) -> Any:
    for leaf in tree_leaves(found):
        if isinstance(leaf, torch.Tensor):
            leaf._kept_on_host = True
    return found


def _tensors(*trees: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(trees) if isinstance(leaf, torch.Tensor)]


class _Operations(TorchDispatchMode):
    def __init__(self, note: Any) -> None:
        super().__init__()
        self._note = note

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        device = [t for t in _tensors(args, kwargs) if not _on_host(t)]
        by_mask = name == "index" and any(t.dtype == torch.bool for t in _tensors(args[1]))
        repeated = name == "repeat_interleave" and kwargs.get("output_size") is None
        if device and (name in _SIZED_BY_VALUES or by_mask or repeated):
            self._note(name)
        return func(*args, **kwargs)


class _Calls(TorchFunctionMode):
    def __init__(self, note: Any) -> None:
        super().__init__()
        self._note = note

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        given = _tensors(args, kwargs)
        host = bool(given) and all(map(_on_host, given))
        if name in _MADE and not given:
            # A device that is spelt out is the host; that of a run is not.
            if kwargs.get("device") in (None, "cpu"):
                return _mark(func(*args, **kwargs))
            if name in ("tensor", "as_tensor"):
                self._note(f"{name} on the device")
            return func(*args, **kwargs)
        if name in _READS and not host:
            self._note(name)
            found = func(*args, **kwargs)
            return _mark(found.clone()) if name == "cpu" else found
        if name == "to" and host and _asks_for_a_device(args, kwargs) and not _logs():
            if not kwargs.get("non_blocking"):
                self._note("to the device")
            return func(*args, **kwargs).clone()
        found = func(*args, **kwargs)
        return _mark(found) if host else found


def _asks_for_a_device(args: Any, kwargs: Any) -> bool:
    asked = [*args[1:], *kwargs.values()]
    return any(isinstance(each, torch.device | str | torch.Tensor) for each in asked)


def _logs() -> bool:
    """Whether Lightning moves what it logs to where the value is, which is the host."""
    frames = traceback.extract_stack()
    return any(frame.filename.endswith("logger_connector/result.py") for frame in frames)


class Waits(L.Callback):
    """Notes what each optimiser step waits for, from the loader's batch to the end of the step."""

    def __init__(self) -> None:
        self.steps: list[list[str]] = []
        self._modes = (_Calls(self._note), _Operations(self._note))
        self._new = True

    def begin(self) -> None:
        if self._new:
            self.steps.append([])
        for mode in self._modes:
            mode.__enter__()

    def end(self) -> None:
        for mode in reversed(self._modes):
            mode.__exit__(None, None, None)

    def on_train_batch_start(self, *_: Any) -> None:
        self.begin()

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        self.end()
        self._new = not trainer.fit_loop._should_accumulate()

    def _note(self, what: str) -> None:
        frames = [f for f in traceback.extract_stack()[:-3] if "waits.py" not in f.filename]
        where = " < ".join(f"{f.filename.split('/')[-1]}:{f.lineno}" for f in frames[:-14:-1])
        self.steps[-1].append(f"{what} at {where}")
