"""What the C library is told about freed memory, in processes of their own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

BLOCK = 48 * 2**20
FAULTS = f"""
import ctypes, resource, sys, torch
from unlearnkit.engine.training.heap import keep_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes, libc.memset.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
kept = keep_freed_memory(torch.device(sys.argv[1])) if sys.argv[1] != "plain" else None
def touch():
    block = libc.malloc({BLOCK})
    libc.memset(block, 1, {BLOCK})
    libc.free(block)
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    touch()
print(kept, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 4)
"""  # noqa: E501


def _faults(argument: str, **environment: str) -> tuple[str, int]:
    """Whether memory is kept, and page faults of each use of a block."""
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, argument],
        capture_output=True, text=True, check=True, env=dict(os.environ) | environment,
    )  # fmt: skip
    kept, faults = done.stdout.split()
    return kept, int(faults)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of glibc")
def test_a_block_that_was_freed_is_not_zeroed_again() -> None:
    _, before = _faults("plain")
    kept, after = _faults("cpu")
    assert before >= BLOCK // 2**21  # pages of 4 KiB, or of 2 MiB where the system has large ones
    assert kept == "True"
    assert after <= before // 20
    assert _faults("cuda")[0] == "False"


GIVEN_BACK = """
import ctypes, sys
from pathlib import Path
from unlearnkit.engine.training.heap import give_back_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes, libc.memset.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
def anonymous():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) // 1024
if sys.argv[1] == "told":
    assert give_back_freed_memory()
libc.free(libc.malloc(30 * 2**20))  # after which glibc by itself keeps blocks of that size
before = anonymous()
blocks, pins = [], []
for _ in range(40):
    blocks.append(libc.malloc(4 * 2**20))
    libc.memset(blocks[-1], 1, 4 * 2**20)
    pins.append(libc.malloc(100_000))
for block in blocks:
    libc.free(block)
print(anonymous() - before)
"""  # noqa: E501


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="settings of glibc")
def test_freed_blocks_are_given_back_where_the_process_is_to_hold_little() -> None:
    left = {}
    for each in ("plain", "told"):
        done = subprocess.run(
            [sys.executable, "-c", GIVEN_BACK, each], capture_output=True, text=True, check=True
        )
        left[each] = int(done.stdout)  # MiB of 160
    assert left["plain"] > 100
    assert left["told"] < 10


def test_settings_of_the_environment_are_left_alone() -> None:
    kept, faults = _faults("cpu", MALLOC_TRIM_THRESHOLD_="131072")
    assert kept == "False"
    assert faults > 0
