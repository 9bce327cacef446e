"""The page of programs: its blocks run one after the other, the first part without Lightning."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fences import ROOT, blocks

PAGE = ROOT / "docs/how-to/from-python.md"
CODE = blocks(PAGE, "python")
WITHOUT_LIGHTNING = 3
"""Blocks of the part that says so."""
CHECK = """
import sys
before = [p.clone() for p in reference.parameters()]
assert any((a != b).any() for a, b in zip(before, model.parameters()))
assert not {"lightning", "pytorch_lightning"} & {name.split(".")[0] for name in sys.modules}
assert reference.training is False
"""


def _run(code: str, folder: Path) -> None:
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_plain_loop_and_a_trainer_train_without_lightning(tmp_path):
    _run("\n".join(CODE[:WITHOUT_LIGHTNING]) + CHECK, tmp_path)


def test_the_blocks_run_one_after_the_other(tmp_path):
    _run("\n".join([CODE[0], *CODE[WITHOUT_LIGHTNING:]]), tmp_path)
