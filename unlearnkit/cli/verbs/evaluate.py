"""``unlearnkit evaluate``: runs suites on any model."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unlearnkit.cli import console
from unlearnkit.cli.models import recipe_of_run
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.recipe.suites import chosen_suites
from unlearnkit.cli.verbs.base import call
from unlearnkit.errors import UserError
from unlearnkit.families import SUITES

if TYPE_CHECKING:
    from unlearnkit.data.generated import BackendName
    from unlearnkit.models.base import BaseModel
    from unlearnkit.runs.evaluate import Found
    from unlearnkit.suites import Suite, SuiteContext

HELP = "Run suites on any model, with intervals; results that are there are checked."
NONE = "none"
MAX_LENGTH = 512


def command(argv: list[str]) -> None:
    """Runs suites on the model that the words name."""
    call(evaluate, argv, "evaluate")


def evaluate(
    model: str,
    suite: list[str] | None = None,
    forget: str | None = None,
    normal: str | None = None,
    reference: str | None = None,
    gold: str | None = None,
    out: str | None = None,
    batch_size: int = 32,
    max_length: int | None = None,
    seed: int = 0,
    device: str | None = None,
    backend: Literal["hf", "continuous", "vllm"] | None = None,
) -> None:
    """Run suites on any model, and keep metrics, intervals and rows in files.

    A results file that is there is shown again only if it belongs to this very model, data, suite
    and code; else the suite runs anew.

    Args:
        model: Run folder, model or adapter folder, hub id, or an embedded model such as tiny.
        suite: Name, or YAML such as '{name: copyright, limit: 8}'; may be given several times. By
            default the suites of the run's recipe.
        forget: File of rows to forget, for the suite copyright on files of your own: rows of
            prompt and response, or of text. Or a stream, such as '{name: qa, path: FILE,
            template: "Q: {prompt} A: {response}"}'.
        normal: File of rows to keep, beside --forget.
        reference: The model before unlearning, for divergences; by default the one that the run
            started from. none for none.
        gold: The model that never saw the forget set; by default that of the run's recipe. none
            for none.
        out: Folder of the results; by default evaluation in the run folder, else
            evaluations/MODEL.
        batch_size: Rows in one forward pass.
        max_length: Longest sequence in tokens; by default of a run its recipe's, else 512.
        seed: Seed of the bootstrap and of other random choices.
        device: Where the models run, such as cpu; by default the GPU if there is one.
        backend: What generates texts, as generation.backend of a recipe; by default that of the
            run.
    """
    from unlearnkit.cli.conclusion import show_again
    from unlearnkit.cli.tables import show_evaluations

    chosen = chosen_suites(suite, forget, normal)
    show_evaluations(
        *evaluated(
            model, chosen, reference, gold, out, batch_size, max_length, seed, device, backend
        )
    )
    if (Path(model) / "summary.json").is_file():
        show_again(model)


def evaluated(
    model: str,
    chosen: Sequence[Suite],
    reference: str | None,
    gold: str | None,
    out: str | None,
    batch_size: int,
    max_length: int | None,
    seed: int,
    device: str | None,
    backend: BackendName | None = None,
) -> tuple[list[Found], list[Found]]:
    """Runs the suites on a model, and on the gold model where there is one."""
    for name, value in (("batch_size", batch_size), ("max_length", max_length)):
        if value is not None and value < 1:
            raise UserError(f"--{name}: expected at least 1, found {value}", title="usage")
    with heavy_imports():
        from unlearnkit.data.generated import HF, GenerationBackend, generated_by
        from unlearnkit.models.base import BaseModel
        from unlearnkit.runs import load_run
        from unlearnkit.runs.evaluate import results_of
        from unlearnkit.runs.planning.backends import refuse_other_backend
        from unlearnkit.suites import SuiteContext

    folder = Path(model)
    if any(folder.glob("[0-9]*/summary.json")) and not (folder / "config.json").exists():
        load_run(folder)  # a folder of runs, which is refused with the newest of them
    if not (folder / "recipe.yaml").is_file():
        if not chosen:
            raise UserError(
                "no suite is given.",
                title="usage",
                hint=f"Add --forget FILE --normal FILE, or --suite NAME, one of "
                f"{', '.join(SUITES.root.registered())}.",
            )
        target = Path(out) if out else results_of(model)
        longest = MAX_LENGTH if max_length is None else max_length
        context = SuiteContext(batch_size=batch_size, max_length=longest, seed=seed)
        with generated_by(HF if backend is None else GenerationBackend(backend)):
            return _run(model, chosen, target, context, _given(reference), _given(gold), device)
    run = load_run(folder)
    cli = recipe_of_run(folder, "evaluate")
    if max_length is not None:
        cli.datamodule.max_length = max_length
    cli.datamodule.check()
    context = SuiteContext.of(cli.datamodule, seed, batch_size)
    base = BaseModel.from_recipe(run.base)
    with generated_by(cli.generation if backend is None else GenerationBackend(backend)):
        if run.summary["suites"]:
            refuse_other_backend(run.summary.get("generation"), folder, out is not None)
        return _run(
            str(run.model),
            chosen or cli.suites,
            Path(out) if out else folder / "evaluation",
            context,
            base if reference is None else _given(reference),
            cli.config.gold if gold is None else _given(gold),
            device,
        )


def _run(
    model: str,
    suites: Sequence[Suite],
    out: Path,
    context: SuiteContext,
    reference: str | BaseModel | None,
    gold: str | BaseModel | None,
    device: str | None,
) -> tuple[list[Found], list[Found]]:
    from unlearnkit.callbacks.suite_progress import SuiteProgress
    from unlearnkit.runs.evaluate import evaluate as run_and_keep
    from unlearnkit.runs.evaluate import file_names

    if not suites:
        raise UserError(f"the recipe of {model} names no suite.", hint="Add --suite NAME.")
    arguments: dict[str, Any] = {"context": context, "gold": gold, "device": device}
    progress = SuiteProgress(list(file_names(suites)), console.err())
    shown = partial(progress.of, "model")
    found = run_and_keep(model, suites, out, reference=reference, shown=shown, **arguments)
    if gold is None:
        return found, []
    shown = partial(progress.of, "gold")
    return found, run_and_keep(gold, suites, out / "gold", shown=shown, **arguments)


def _given(base: str | None) -> str | None:
    """A model, or None for the word ``none``."""
    return None if base == NONE else base
