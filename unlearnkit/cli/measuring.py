"""The verbs that measure models: what they take. The work is imported where it is done."""

from __future__ import annotations

from collections.abc import Sequence

from unlearnkit.cli.imports import without_collection
from unlearnkit.cli.verbs.base import VerbParser, call


def evaluate(
    model: str,
    suite: list[str] | None = None,
    reference: str | None = None,
    gold: str | None = None,
    out: str | None = None,
    batch_size: int = 32,
    max_length: int = 512,
    seed: int = 0,
    device: str | None = None,
) -> None:
    """Run suites on any model, and keep figures, intervals and rows in files.

    A results file that is there is shown again only if it belongs to this very model, data, suite
    and code; else the suite runs anew.

    Args:
        model: Run folder, model or adapter folder, hub id, or an embedded model such as tiny.
        suite: Name, or YAML such as '{name: copyright, limit: 8}'; may be given several times. By
            default the suites of the run's recipe.
        reference: The model before unlearning, for divergences; by default the one that the run
            started from. none for none.
        gold: The model that never saw the forget set; by default that of the run's recipe. none
            for none.
        out: Folder of the results; by default evaluation in the run folder, else
            evaluations/MODEL.
        batch_size: Rows in one forward pass.
        max_length: Longest sequence in tokens; of a run its recipe's.
        seed: Of the bootstrap and of anything that is drawn.
        device: Where the models run, such as cpu; by default the GPU if there is one.
    """
    with without_collection():
        from unlearnkit.cli.quiet import quieten
        from unlearnkit.cli.tables import show_evaluations
        from unlearnkit.cli.verbs.evaluate import evaluated

    quieten()
    show_evaluations(
        *evaluated(model, suite, reference, gold, out, batch_size, max_length, seed, device)
    )


def compare(
    runs: Sequence[str], form: str, picture: str | None = None, report: str | None = None
) -> None:
    """Puts the figures of runs in one table, printed as ``form`` says, and in files."""
    with without_collection():
        from unlearnkit.cli.console import err
        from unlearnkit.cli.quiet import quieten
        from unlearnkit.cli.verbs.compare import show
        from unlearnkit.runs.compare import compare as compared
        from unlearnkit.runs.report import report_comparison

    quieten()
    comparison = compared(runs)
    files = report_comparison(comparison, picture, report)
    show(comparison, form)
    for file in files:
        # The table may be piped on; these lines are no part of it.
        err().print(str(file), markup=False, soft_wrap=True)


def attack(
    run: str,
    kind: str,
    rows: int = 8,
    steps: int = 20,
    every: int = 5,
    lr: float = 1e-4,
    limit: int = 32,
    bits: int | None = None,
    data: str | None = None,
    field: str | None = None,
    gold: str | None = None,
    out: str | None = None,
    seed: int = 0,
) -> None:
    """Try to bring back what a run's model was made to forget; the gold model is treated alike.

    An attack whose file is there is shown again only if models, rows, options and code are the
    same; any other gets a new file beside it.

    Args:
        run: Run folder.
        kind: relearn trains on a few of the forget rows, and measures all others; quantize makes
            the weights coarse; prefix shows the beginning of the answer; fewshot shows other
            forget rows; paraphrase asks in other words; logit_lens reads the answer out of each
            layer.
        rows: Rows that relearn trains on, and that fewshot shows.
        steps: Optimiser steps of relearn.
        every: Steps between two measurements of relearn.
        lr: Learning rate of relearn.
        limit: Rows measured at most, evenly spaced.
        bits: Bits of a weight that quantize keeps; by default 8, and 4.
        data: For relearn, a stream of the recipe or a file of benign rows to train on. For
            paraphrase, a file of the forget rows in other words.
        field: For paraphrase, the column that has the prompt in other words; without it and data,
            frames are put around the prompts.
        gold: The model that never saw the forget set; by default that of the run's recipe. none
            for none.
        out: New file of the figures; by default attacks/KIND.json in the run folder, or KIND-2.json
            and so on if that is taken.
        seed: Of the choice of rows.
    """
    with without_collection():
        from unlearnkit.cli.quiet import quieten
        from unlearnkit.cli.tables import show_attack
        from unlearnkit.cli.verbs.attack import Options, attacked

    quieten()
    options = Options(rows, steps, every, lr, limit, bits, data, field, seed)
    show_attack(attacked(run, kind, options, gold, out))


def evaluate_command(argv: list[str]) -> None:
    """Runs suites on a model."""
    # A list grows by --suite+, and people write the option once for each suite.
    call(evaluate, [_appending(word) for word in argv], "evaluate")


def compare_command(argv: list[str]) -> None:
    """Compares runs."""
    about = "Put the figures of several runs in one table; seeds of one recipe are mean ± sd."
    parser = VerbParser(prog="unlearnkit compare", description=about)
    parser.add_argument("runs", nargs="+", help="Run folders, or folders with runs below them.")
    parser.add_argument("--format", default="table", help="table, md, csv or json.")
    parser.add_argument("--picture", help="New PNG file: forgetting against utility.")
    parser.add_argument("--report", help="New HTML file: table and pictures, in one page.")
    arguments = parser.parse_args(argv)
    compare(arguments.runs, arguments.format, arguments.picture, arguments.report)


def attack_command(argv: list[str]) -> None:
    """Attacks a run's model."""
    call(attack, argv, "attack")


def _appending(word: str) -> str:
    return f"--suite+{word[7:]}" if word.partition("=")[0] == "--suite" else word
