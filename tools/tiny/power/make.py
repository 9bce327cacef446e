"""Makes the models of the tiny TOFU with power: ``python -m tools.tiny.power.make``.

The target learns all authors, the gold model those that stay. Both are adapters on the embedded
gold model, take as many steps, and are trained by the command that users run, each in seven
minutes of one core.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tools.tiny.muse.make import ship
from tools.tiny.tofu.make import MODELS, learn

HERE = Path(__file__).parents[3] / "unlearnkit" / "tiny" / "tofu_power"


def main() -> None:
    """Writes the folders ``model`` and ``gold``."""
    parser = argparse.ArgumentParser(description="Makes the models of the tiny TOFU with power.")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(MODELS), help="one of the two, by default both")
    options = parser.parse_args()
    for which in [options.only] if options.only else MODELS:
        with tempfile.TemporaryDirectory() as work:
            trained = learn(which, Path(work), options.seed, HERE)
            ship(trained, options.out / MODELS[which])


if __name__ == "__main__":
    main()
