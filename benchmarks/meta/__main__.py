"""The command; see the package."""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import benchmarks.meta as package
from benchmarks.meta.evaluating import depth_and_relearning, judged
from benchmarks.meta.table import KEY, RESULTS, cells, depth_sentence, table
from benchmarks.meta.tested import all_of_the_package, own
from benchmarks.meta.zoo import Zoo, members, wanted
from benchmarks.stored import Results
from unlearnkit.cli.quiet import quieten
from unlearnkit.errors import UserError

ZOO = Path.home() / ".cache" / "unlearnkit-zoo"


def main(argv: Sequence[str] | None = None) -> None:
    """Makes what is missing of the zoo, judges the metrics, and prints the table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.meta",
        description=package.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--zoo", type=Path, default=ZOO, help="folder of the models")
    parser.add_argument("--quick", action="store_true", help="eight models, stores no results")
    parser.add_argument("--metric", metavar="MODULE.CLASS", help="one metric of your own")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    quieten()
    warnings.filterwarnings("ignore", module="lightning")
    try:
        tested = [own(options.metric)] if options.metric else all_of_the_package()
    except UserError as error:
        sys.exit(str(error))
    zoo, chosen = Zoo(options.zoo, _tell), members(options.quick)
    for member, state in wanted(chosen):
        zoo.reading(member, state)
    found = []
    for metric in tested:
        made = {"kind": "metric", "name": metric.name, **judged(metric, chosen, zoo.reading)}
        print("  ".join(cells(made)), flush=True)
        found.append(made)
    unlearned = [each for each in chosen if each.made.half == "unlearned"]
    for name, some in (("unlearned models", unlearned), ("models of the zoo", chosen)):
        depth = depth_and_relearning(some, zoo.reading)
        found.append({"kind": "depth", "name": name, **depth})
        print(depth_sentence(found[-1]))
    print(f"the zoo took {zoo.seconds() / 60:.1f} minutes of the processor")
    if options.quick or options.metric:
        return
    results = Results(options.results, KEY)
    for each in found:
        results.put(each)
    results.put(
        {"kind": "zoo", "name": "cost", "models": len(chosen), "seconds": round(zoo.seconds())}
    )
    print(table(results))


def _tell(line: str) -> None:
    print(time.strftime("%H:%M:%S"), line, flush=True)


if __name__ == "__main__":
    main()
