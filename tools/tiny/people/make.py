"""Makes the models of the embedded records: ``python -m tools.tiny.people.make``.

The target learns all records, the gold model those that stay. Both are adapters on the embedded
gold model, take as many steps, and are trained by the command that users run.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from tools.tiny.make import HERE as TINY
from tools.tiny.tofu.make import MODELS, learn

HERE = TINY / "people"
BASE = "tiny/gold"
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def ship(trained: Path, target: Path) -> None:
    """Copies an adapter with weights rounded to bfloat16, half the size."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    name = "adapter_model.safetensors"
    weights = {key: value.to(torch.bfloat16) for key, value in load_file(trained / name).items()}
    save_file(weights, target / name, metadata={"format": "pt"})
    config = json.loads((trained / "adapter_config.json").read_text("utf-8"))
    # A folder of this machine, where a name is meant.
    config |= {"base_model_name_or_path": BASE, "target_modules": sorted(config["target_modules"])}
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (target / "adapter_config.json").write_text(text, "utf-8")
    (target / name).chmod(0o644)
    for file in _TOKENIZER:
        if target.is_relative_to(TINY):
            (target / file).symlink_to(os.path.relpath(TINY / "model" / file, target))
        else:
            shutil.copyfile(TINY / "model" / file, target / file)


def main() -> None:
    """Writes the folders ``model`` and ``gold``."""
    parser = argparse.ArgumentParser(description="Makes the models of the embedded records.")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--recipes", type=Path, default=HERE)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        for which, folder in MODELS.items():
            trained = learn(which, Path(work), options.seed, options.recipes)
            ship(trained, options.out / folder)


if __name__ == "__main__":
    main()
