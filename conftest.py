"""What tests of the package, of benchmarks and in docstrings need: no network, and one thread."""

from __future__ import annotations

import getpass
import os
import tempfile

# Threads of this process and of those it starts: one, whatever the machine and the shell say.
os.environ.setdefault("UNLEARNKIT_TEST_THREADS", "1")
os.environ["OMP_NUM_THREADS"] = os.environ["UNLEARNKIT_TEST_THREADS"]
# Before the first import of transformers, which reads them once.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ["UNLEARNKIT_CACHE"] = ""  # no test leaves tokens behind
# TorchInductor finds code of other vector instructions in its cache, which then computes nan.
os.environ.setdefault(
    "TORCHINDUCTOR_CACHE_DIR",
    f"{tempfile.gettempdir()}/torchinductor-{getpass.getuser()}-"
    + os.environ.get("ATEN_CPU_CAPABILITY", "own"),
)

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, settings

# No machine is too slow for a property, and none is tried with other values than any other.
settings.register_profile(
    "alike", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("alike")

# Loaded as plugins already; --doctest-modules would import them again, all under one name.
collect_ignore_glob = ["*conftest.py"]


def pytest_addoption(parser: pytest.Parser) -> None:
    # Here and not in tests/conformance/, where a run of all tests would find them too late.
    parser.addoption(
        "--golden", type=Path, help="folder of stored objective values (default: ours)"
    )
    parser.addoption(
        "--golden-metrics", type=Path, help="folder of stored metric values (default: ours)"
    )
    parser.addoption(
        "--need-extras", action="store_true", help="fail where a library of an extra is missing"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("extra"):
        (library,) = mark.args
        if find_spec(library) is None:
            end = pytest.fail if item.config.getoption("--need-extras") else pytest.skip
            end(f"{library} is not installed")


@pytest.fixture(autouse=True, scope="session")
def _threads() -> None:
    torch.set_num_threads(int(os.environ["UNLEARNKIT_TEST_THREADS"]))
