"""The command; see the package."""

from __future__ import annotations

import argparse
from pathlib import Path

import benchmarks.real as package
from benchmarks.real.figures import APPLICATIONS
from benchmarks.real.measuring import Bench
from benchmarks.real.methods import METHODS
from benchmarks.real.training import Models
from unlearnkit.cli.noise import quieten

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "real"
CACHE = Path.home() / ".cache" / "unlearnkit-real"


def main(argv: list[str] | None = None) -> None:
    """Runs what is not there yet."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.real",
        description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "applications", nargs="*", metavar="APPLICATION", help=", ".join(APPLICATIONS)
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the taught models")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    quieten()
    models = Models(options.cache)
    for application in options.applications or APPLICATIONS:
        for seed in options.seeds:
            bench = Bench(application, seed, models, options.results)
            bench.measure("taught", models.taught(application, seed))
            bench.measure("gold", models.gold(seed))
            for name in options.methods:
                bench.run(name, METHODS[name])


if __name__ == "__main__":
    main()
