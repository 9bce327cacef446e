"""Measurements, each ``python -m benchmarks.NAME``, with ratios from one run."""

from __future__ import annotations

import argparse
from pathlib import Path


def new_file(text: str) -> Path:
    """The type of an option that names a file to write.

    Raises:
        argparse.ArgumentTypeError: If it is there already, or its folder is not, which is to be
            said before anything is measured.
    """
    file = Path(text)
    if file.exists():
        raise argparse.ArgumentTypeError(f"{file} exists and is not overwritten")
    if not file.parent.is_dir():
        raise argparse.ArgumentTypeError(f"there is no folder {file.parent}")
    return file
