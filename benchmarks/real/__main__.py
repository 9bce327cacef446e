"""The command; see the package."""

from __future__ import annotations

import argparse
from pathlib import Path

import benchmarks.real as package
from benchmarks.real import depth, page, published
from benchmarks.real.figures import APPLICATIONS
from benchmarks.real.measuring import Bench
from benchmarks.real.methods import METHODS, Layer
from benchmarks.real.selective import SELECTIVE
from benchmarks.real.training import Models
from benchmarks.real.variants import (
    APPLICATION,
    EXACT,
    IN_FLOAT32,
    NEGATED,
    SEED,
    VARIANTS,
    stopped,
)
from benchmarks.stored import Results
from unlearnkit.cli.quiet import quieten

RESULTS, KEY = depth.STORED, depth.KEY
SEEDS = (0, 1, 2)
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
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, *depth.TITLES])
    parser.add_argument("--selectivity", action="store_true", help="variants, in place of methods")
    named = {name for each in SELECTIVE.values() for name in each}
    parser.add_argument("--variants", nargs="+", choices=[*VARIANTS, *NEGATED, *sorted(named)])
    parser.add_argument(
        "--float32", action="store_true", help="variants of copyright with all models in float32"
    )
    parser.add_argument(
        "--depth", action="store_true", help="attack the copyright models; seed 1, in float32"
    )
    parser.add_argument(
        "--published",
        type=Path,
        metavar="FOLDER",
        help="HaluEval and TruthfulQA, whose files are in that folder: halueval/"
        "qa_one-turn_data.json and truthfulqa/TruthfulQA.csv",
    )
    parser.add_argument("--tables", action="store_true", help="write docs/results.md's tables")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder of the taught models")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args(argv)
    known = depth.TITLES if options.depth else METHODS
    if not set(options.methods or ()) <= set(known):
        parser.error(f"--methods: expected some of {', '.join(known)}")
    quieten()
    if options.tables:
        page.write(Results(options.results, KEY))
        return
    if options.depth:
        # A folder of its own: models that were taught in bfloat16 are others.
        exact = Models(options.cache / "float32", layers=[depth.FLOAT32])
        for seed in options.seeds or depth.SEEDS:
            attacked = depth.Attacked(seed, exact, Results(options.results, KEY), [depth.FLOAT32])
            for lr in depth.RATES:
                for name in options.methods or depth.TITLES:
                    attacked.run(name, lr)
        return
    if options.float32:
        exact = Models(options.cache / "float32", layers=[depth.FLOAT32])
        for seed in options.seeds or [SEED]:
            run_exact(seed, exact, Results(options.results, KEY), [depth.FLOAT32])
        return
    models = Models(options.cache)
    if options.published:
        bench = published.Published(options.published, models, Results(options.results, KEY))
        for seed in options.seeds or SEEDS:
            bench.run(seed)
        return
    if options.selectivity:
        for application in options.applications or APPLICATIONS:
            for seed in options.seeds or SEEDS:
                bench = Bench(application, seed, models, Results(options.results, KEY))
                run_variants(bench, options.variants)
        return
    for application in options.applications or APPLICATIONS:
        for seed in options.seeds or SEEDS:
            bench = Bench(application, seed, models, Results(options.results, KEY))
            bench.measure("taught", models.taught(application, seed))
            bench.measure("gold", models.gold(seed))
            for name in options.methods or default_methods(application):
                bench.run(name, METHODS[name])


def default_methods(application: str) -> list[str]:
    """All methods; those that train all weights, which takes twice the time, on one application."""
    return [name for name in METHODS if name != "llmu_whole" or application == APPLICATION]


def run_exact(seed: int, models: Models, results: Results, layers: list[Layer]) -> None:
    """The variants of copyright that start from models in float32, and are float32 themselves."""
    bench = Bench(APPLICATION, seed, models, results, layers, stored=IN_FLOAT32)
    bench.measure("taught", models.taught(APPLICATION, seed))
    bench.measure("gold", models.gold(seed))
    gold = bench.read("gold")
    assert gold is not None
    for name, (_, layer) in EXACT.items():
        bench.run(name, stopped(layer, gold["figures"]["forget/nll"]))


def run_variants(bench: Bench, names: list[str] | None = None) -> None:
    """Variants of the method on one seed; those of copyright stop at the gold model's NLL.

    Args:
        bench: The application and the seed.
        names: Some of the variants; those that the application lacks are left out.
    """
    bench.measure("gold", bench.models.gold(bench.seed))
    if bench.application != APPLICATION:
        for name, (_, recipe, layer) in SELECTIVE[bench.application].items():
            if names is None or name in names:
                bench.run(name, layer, recipe)
        return
    gold = bench.read("gold")
    assert gold is not None
    forget_nll = gold["figures"]["forget/nll"]
    for name in names or [*VARIANTS, *NEGATED]:
        if name in VARIANTS:
            bench.run(name, stopped(VARIANTS[name][1], forget_nll))
        elif name in NEGATED and bench.read(name) is None:
            scale = NEGATED[name][1]
            bench.measure(name, bench.models.negated(bench.application, bench.seed, scale))


if __name__ == "__main__":
    main()
