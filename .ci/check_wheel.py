"""Is the wheel in ``dist`` whole, and does it work where nothing else of this repository is?

The wheel has to hold what is committed of ``unlearnkit`` and ``recipes``, and no more. It is
installed into a new environment, and unlearns by a shipped recipe in an empty folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = "unlearnkit/_recipes/"
LARGEST = 10
"""Megabytes of the wheel at most."""


def committed() -> set[str]:
    """Files that belong into the wheel, by their names in it."""
    command = ["git", "ls-files", "unlearnkit", "recipes"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    names = listed.stdout.splitlines()
    return {name.replace("recipes/", SHIPPED) if name[0] == "r" else name for name in names}


def check_contents(wheel: Path) -> int:
    """Compares the wheel with what is committed; returns the number of files."""
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = committed()
    if found != expected:
        missing, surplus = sorted(expected - found), sorted(found - expected)
        sys.exit(f"{wheel.name}: missing {missing}, and not committed: {surplus}")
    return len(found)


def check_size(wheel: Path) -> float:
    """Refuses a wheel of more than ten megabytes; returns its megabytes."""
    size = wheel.stat().st_size / 1e6
    if size > LARGEST:
        sys.exit(f"{wheel.name}: {size:.1f} MB, at most {LARGEST}")
    return size


def check_installed(wheel: Path) -> None:
    """Installs the wheel into a new environment, and runs it from an empty folder."""
    constraints = ROOT / "constraints.txt"
    lines = constraints.read_text(encoding="utf-8").splitlines()
    (torch,) = (line for line in lines if line.startswith("torch=="))
    with tempfile.TemporaryDirectory() as empty:
        environment = Path(empty) / "environment"
        bin_folder = environment / "bin"
        offline = {**os.environ, "HF_HUB_OFFLINE": "1"}
        offline.pop("PYTHONPATH", None)

        def run(*command: str | Path) -> None:
            started = time.monotonic()
            subprocess.run(command, cwd=empty, env=offline, check=True)
            print(f"{time.monotonic() - started:.1f} s: {command[0]}", *command[1:], flush=True)

        venv.create(environment, with_pip=True)
        pip = (bin_folder / "python", "-m", "pip", "install", "--quiet", "-c", constraints)
        run(*pip, torch)  # by exact version first, as the Makefile does
        run(*pip, wheel)
        run(bin_folder / "unlearnkit", "--help")
        run(bin_folder / "unlearnkit", "fit", "--recipe", "copyright")
        (run_folder,) = Path(empty).glob("runs/copyright/*")
        figures = json.loads((run_folder / "summary.json").read_text("utf-8"))["suites"][
            "copyright"
        ]
        recall = {when: found["forget/rougeL_recall"] for when, found in figures.items()}
        print(f"forget/rougeL_recall: {recall}")
        if not (run_folder / "report.html").is_file() or not recall["after"] < recall["before"]:
            sys.exit("the installed package did not unlearn, or wrote no report")


def main() -> None:
    """Checks the one wheel in ``dist``."""
    (wheel,) = (ROOT / "dist").glob("*.whl")
    for file in sorted((ROOT / "dist").iterdir()):
        print(f"{file.stat().st_size / 2**20:.1f} MiB: {file.name}")
    print(f"{check_contents(wheel)} files, those that are committed", flush=True)
    print(f"{check_size(wheel):.1f} MB", flush=True)
    check_installed(wheel)


if __name__ == "__main__":
    main()
