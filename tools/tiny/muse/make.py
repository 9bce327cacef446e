"""Makes the tiny MUSE's models: ``python -m tools.tiny.muse.make``, minutes on one core.

The target learns all news, the gold model those that stay. Both are adapters on the embedded gold
model, take as many steps, and are trained by the command that users run.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from tools.tiny.make import share_tokenizer
from tools.tiny.tofu.make import MODELS, learn

HERE = Path(__file__).parents[3] / "unlearnkit" / "tiny" / "muse"
BASE = "tiny/gold"


def ship(trained: Path, target: Path) -> None:
    """Copies an adapter with weights rounded to bfloat16 and its base by the embedded name."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    weights = load_file(trained / "adapter_model.safetensors")
    rounded = {name: weight.to(torch.bfloat16) for name, weight in weights.items()}
    save_file(rounded, target / "adapter_model.safetensors", metadata={"format": "pt"})
    config = json.loads((trained / "adapter_config.json").read_text("utf-8"))
    config["base_model_name_or_path"] = BASE
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (target / "adapter_config.json").write_text(text, "utf-8")
    AutoTokenizer.from_pretrained(trained).save_pretrained(target)
    for file in target.iterdir():
        file.chmod(0o644)
    share_tokenizer(target)


def main() -> None:
    """Writes the folders ``model`` and ``gold``."""
    parser = argparse.ArgumentParser(description="Makes the tiny MUSE's models.")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        for which, folder in MODELS.items():
            ship(learn(which, Path(work), options.seed, HERE), options.out / folder)


if __name__ == "__main__":
    main()
