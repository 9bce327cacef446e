"""Runs one system with one seed and collects its results."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.stored import Results
from benchmarks.systems.systems import GOLD, RECIPES, SUITE, Command, System, program
from benchmarks.systems.table import KEY

PACKAGE = Path(__file__).parents[2] / "unlearnkit"
# What has no part in a figure.
_APART = {"cli", "report", "testing"}


@dataclass
class Cost:
    """What a process took.

    Args:
        seconds: Of the processor, which other processes on the machine change less than the clock.
        wall_seconds: Of the clock.
        peak_mb: Largest resident memory, in MiB.
    """

    seconds: float
    wall_seconds: float
    peak_mb: float


class Bench:
    """Runs what is not there yet.

    Args:
        results: File of the results.
        more: Laid over every training; short ones in tests.
        suite: The suite.
    """

    def __init__(self, results: Path, more: Command = (), suite: str = SUITE) -> None:
        self.results, self.more, self.suite = Results(results, KEY), more, suite
        self.code = code_digest()
        self._work = tempfile.TemporaryDirectory(prefix="unlearnkit-systems-")
        # The gold model's result is worked out once, and shown again by `evaluate`.
        self._evaluated = Path(self._work.name) / "evaluated"

    def run(self, name: str, system: System, seed: int) -> bool:
        """Runs a system and writes what came of it, unless that is there; whether it ran."""
        digest, known = self._digest(system), self.results.get(name, seed)
        if known is not None and known.get("digest") == digest:
            return False
        with tempfile.TemporaryDirectory(dir=self._work.name) as work:
            here = Path(work)
            costs = [measured(self._words(each, here, seed), here) for each in system.commands]
            model = filled(system.model, here, seed)
            measured(("evaluate", model, "--suite", self.suite, "--gold", GOLD,
                      "--out", str(self._evaluated)), here)  # fmt: skip
        result = {
            "system": name,
            "seed": seed,
            "digest": digest,
            "commands": system.lines(seed),
            "seconds": round(sum(each.seconds for each in costs), 1),
            "peak_mb": round(max((each.peak_mb for each in costs), default=0.0), 1),
            "processes": [asdict(each) for each in costs],
            "figures": json.loads((self._evaluated / "tofu.json").read_text("utf-8"))["values"],
            "versions": {each: version(each) for each in ("torch", "transformers", "peft")},
            "machine": platform.machine(),
        }
        self.results.put(result)
        return True

    def _words(self, command: Command, work: Path, seed: int) -> Command:
        words = tuple(filled(word, work, seed) for word in command)
        return (*words, *self.more) if command[0] == "fit" else words

    def _digest(self, system: System) -> str:
        texts = [(RECIPES / f"{each}.yaml").read_text("utf-8") for each in system.recipes]
        for words in system.commands:
            if words[0] == "python":
                file = PACKAGE.parent.joinpath(*words[2].split("."))
                texts.append(file.with_suffix(".py").read_text("utf-8"))
        parts = (system.commands, system.model, self.more, self.suite, texts, self.code)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def measured(command: Command, work: Path) -> Cost:
    """Runs a command in a folder and measures its process.

    Raises:
        RuntimeError: If it fails, with what it said.
    """
    words = command[1:] if command[0] == "python" else ("-m", "unlearnkit", *command)
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, *words],
            stdout=said,
            stderr=subprocess.STDOUT,
            cwd=work,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(PACKAGE.parent)},
        )
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            told = said.read().decode(errors="replace")
            raise RuntimeError(f"{shlex.join(program(command))}\n{told}")
    peak = used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
    wall = time.monotonic() - started
    return Cost(round(used.ru_utime + used.ru_stime, 1), round(wall, 1), round(peak, 1))


def code_digest() -> str:
    """Digest of the code and the data that figures depend on."""
    files = [
        file
        for file in sorted(PACKAGE.rglob("*"))
        if file.suffix in (".py", ".jsonl", ".safetensors")
        and file.relative_to(PACKAGE).parts[0] not in _APART
    ]
    found = hashlib.sha256()
    for file in files:
        found.update(str(file.relative_to(PACKAGE)).encode())
        found.update(file.read_bytes())
    return found.hexdigest()


def filled(word: str, work: Path, seed: int) -> str:
    """A word of a command with the seed, and the folders of the runs below ``work``."""
    found = word.replace("SEED", str(seed))
    if "RUN" in found:
        runs = sorted(work.glob("runs/**/summary.json"), key=lambda file: file.stat().st_mtime_ns)
        for number, file in enumerate(runs, 1):
            found = found.replace(f"RUN{number}", str(file.parent.relative_to(work)))
    return found


def show(result: dict[str, Any]) -> str:
    """A result in a line."""
    figures = result["figures"]
    shown = ("forget/ks_distance", "utility/model_utility", "forget/rougeL_recall")
    words = "  ".join(f"{key} {figures[key]:.3f}" for key in shown)
    return f"{words}  {result['seconds']} s  {result['peak_mb']} MiB"
