"""Says whether the C library keeps memory that is freed."""

from __future__ import annotations

import ctypes
import logging
import os
import platform

import torch

logger = logging.getLogger(__name__)

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of <malloc.h>
_MAPPED = 2**20
"""Blocks of so many bytes are given back at once where freed memory is not kept."""
_OWN = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")


def keep_freed_memory(device: torch.device) -> bool:
    """Has glibc give no freed memory back to the system; whether it does from now on.

    On a CPU alone: for a model on a GPU, what its weights took while they were read is given back.

    By itself it maps blocks above 32 MiB one by one and gives each back at once, and the system
    zeroes every page of the next one. Large steps spend a tenth to a fifth of their CPU time on
    that. Nothing is changed where another C library is used, or where the environment has settings
    of its own.
    """
    if device.type != "cpu":
        return False
    kept = _set({_MMAP_THRESHOLD: 2**31 - 1, _TRIM_THRESHOLD: -1})
    logger.info("the C library keeps freed memory: %s", "yes" if kept else "no")
    return kept


def give_back_freed_memory() -> bool:
    """Has glibc give freed blocks of weights back to the system; whether it does from now on.

    By itself it raises its limit with the largest block that was freed, and keeps smaller ones. A
    process that gathers one decoder block of a sharded model after the other would end up with as
    much memory as the whole model takes. Nothing is changed where another C library is used, or
    where the environment has settings of its own.
    """
    return _set({_MMAP_THRESHOLD: _MAPPED, _TRIM_THRESHOLD: _MAPPED})


def trim() -> None:
    """Gives back what is free at this moment, of blocks of any size."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


def _set(values: dict[int, int]) -> bool:
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in _OWN):
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all(mallopt(name, value) for name, value in values.items())
