"""The command; see the package."""

from __future__ import annotations

import argparse
from pathlib import Path

import benchmarks.systems as package
from benchmarks.systems.running import Bench, show
from benchmarks.systems.systems import SYSTEMS
from benchmarks.systems.table import RESULTS


def main(argv: list[str] | None = None) -> None:
    """Runs what is not there yet."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.systems",
        description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--system", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    bench = Bench(options.results)
    for seed in options.seeds:
        for name in options.system:
            system = SYSTEMS[name]
            if not system.seeded and seed != options.seeds[0]:
                continue
            ran = bench.run(name, system, seed)
            found = bench.results.get(name, seed)
            assert found is not None, "it was written just now"
            print(name, seed, show(found), "" if ran else "(was there)", flush=True)


if __name__ == "__main__":
    main()
