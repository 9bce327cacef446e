"""Processes of the tests are like new ones."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from processes import LIBRARIES, free_port, run, run_code, run_ranks
from torch.distributed import TCPStore


def say(word: str) -> int:
    print(word, os.getcwd(), "unlearnkit" in sys.modules)
    print(*(name for name in LIBRARIES if name in sys.modules), file=sys.stderr)
    return 3


def tell_rank() -> None:
    from lightning.fabric.utilities.rank_zero import rank_zero_only

    print(rank_zero_only.rank, os.environ["LOCAL_RANK"], os.environ["WORLD_SIZE"])


def fail() -> None:
    raise RuntimeError("an error of its own")


def test_a_process_has_the_libraries_and_nothing_of_us(tmp_path) -> None:
    done = run(say, "word", cwd=tmp_path)
    assert done == (3, f"word {tmp_path} False\n", " ".join(LIBRARIES) + "\n")


BEGUN_BY_A_TEST = """
import os
import processes
processes._SERVER.set_forkserver_preload(["huggingface_hub.constants"])
os.environ["HF_HOME"] = "/of/a/test"
print(processes.run_code("import huggingface_hub.constants as read; print(read.HF_HOME)"))
assert os.environ["HF_HOME"] == "/of/a/test"
"""


def test_what_libraries_read_when_they_are_imported_is_not_of_the_first_test() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BEGUN_BY_A_TEST], cwd=Path(__file__).parent,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() not in ("", "/of/a/test")


def test_a_port_is_given_to_nobody_else_until_its_server_begins() -> None:
    port = free_port()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind(("127.0.0.1", port))
    for libuv in (True, False):
        store = TCPStore("127.0.0.1", port, 1, True, use_libuv=libuv)
        assert store.port == port
        del store


def test_ranks_know_their_number() -> None:
    assert [done.stdout for done in run_ranks(2, tell_rank)] == ["0 0 2\n", "1 1 2\n"]


def test_an_error_is_told() -> None:
    done = run(fail)
    assert done.returncode == 1
    assert "RuntimeError: an error of its own" in done.stderr


def test_code_does_not_reach_the_package() -> None:
    assert run_code("import sys; print(sys.argv[1])", "a b") == "a b\n"
    with pytest.raises(AssertionError, match="import of unlearnkit halted"):
        run_code("import unlearnkit")
