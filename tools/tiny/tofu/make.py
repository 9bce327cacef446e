"""Makes the tiny TOFU's models: ``python -m tools.tiny.tofu.make``, minutes on one core.

The target learns all authors, the gold model those that stay; both start from the embedded gold
model, take as many steps, and are trained by the command that users run.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from tools.tiny.make import share_tokenizer

HERE = Path(__file__).parent / "stored"
MODELS = {"target": "model", "gold": "gold"}


def learn(which: str, runs: Path, seed: int, recipes: Path = HERE) -> Path:
    """Runs a recipe of a folder and returns the model's folder."""
    run_dir = runs / which
    subprocess.run(
        [
            *(sys.executable, "-m", "unlearnkit", "fit"),
            *("--recipe", str(recipes / f"learn_{which}.yaml"), "--run_dir", str(run_dir)),
            *("--seed_everything", str(seed), "--trainer.accelerator", "cpu"),
        ],
        check=True,
        # One thread: with more, sums come out in another order and weights in other bits.
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    return next(run_dir.glob("**/model"))


def ship(trained: Path, target: Path) -> None:
    """Copies a model with weights rounded to bfloat16, half the size."""
    shutil.rmtree(target, ignore_errors=True)
    AutoModelForCausalLM.from_pretrained(trained, dtype=torch.bfloat16).save_pretrained(target)
    AutoTokenizer.from_pretrained(trained).save_pretrained(target)
    for file in target.iterdir():
        file.chmod(0o644)
    share_tokenizer(target)


def main() -> None:
    """Writes the folders ``model`` and ``gold``."""
    parser = argparse.ArgumentParser(description="Makes the tiny TOFU's models.")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        for which, folder in MODELS.items():
            ship(learn(which, Path(work), options.seed), options.out / folder)


if __name__ == "__main__":
    main()
