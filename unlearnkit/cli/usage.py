"""Help texts of ``unlearnkit`` and of its verbs."""

from __future__ import annotations

from unlearnkit.cli import verbs

EXAMPLES = {
    "unlearnkit fit --recipe copyright": "the embedded example",
    "unlearnkit cp copyright mine.yaml": "a recipe of your own",
    "unlearnkit validate --recipe mine.yaml": "is it right?",
    "unlearnkit fit -r mine.yaml --trainer.max_steps 100": "override a value",
    "unlearnkit list objectives": "what there is",
}

_RESUMING = """\
  --ckpt_path FILE      Resume training from a checkpoint; "last" is the newest of this recipe.
                        Ctrl-C and SIGTERM save one, and so does every quarter of an hour.
  --resume_with_changes Resume although recipe, data or model differ from what the checkpoint
                        was made with; environment.json holds each old and new value.
"""
_RECIPE_HELP = """\
usage: unlearnkit {verb} --recipe RECIPE [--KEY VALUE ...]

  -r, --recipe RECIPE   A YAML file, or the name of a shipped recipe (unlearnkit list recipes).
                        Of several, the later wins; it replaces objectives and streams whole.
  --KEY VALUE           Overrides one value of the recipe; KEY is its path with dots.
  --print_recipe        Print the recipe with every default filled in, and stop.
{resuming}\
  --run_dir FOLDER      Where run folders go (default: runs).
  --help_all            Every key, with its type and default.
  --debug               Show tracebacks.

Sections of a recipe:
  seed_everything       Seed of everything (default: 42).
  model                 base, objectives, optimizer, lora, reference, schedule, ...
  data                  streams, batch_size, max_length, anchor, ...
  trainer               The arguments of Lightning's Trainer: max_epochs, precision, devices, ...
  evaluate              Suites that are run before and after; without it nothing is measured.
  gold                  A model that never saw what is forgotten, measured beside.
  phases                A list of model/data/trainer blocks, each laid over those above and run
                        from the model of the one before.
  requests              Files that take the forget stream's place, one after the other.

Overrides:
  --model.objectives.forget.weight 0.9                    one value
  --model.objectives.forget npo                           another objective, same weight
  --model.objectives.forget '{{name: npo, beta: 0.2}}'      the whole entry
  --model.objectives.retain.weight 0                      leave an objective out
  --model.optimizer.lr 3e-4
  --trainer.max_steps 100
  --phases.0.model.optimizer.lr 3e-4                      of one phase

Examples:
  unlearnkit {verb} --recipe copyright
  unlearnkit {verb} --recipe mine.yaml --model.base HuggingFaceTB/SmolLM2-135M-Instruct
"""


def recipe_help(verb: str) -> str:
    """The help of a verb that takes a recipe and its overrides.

    Example:
        >>> "--ckpt_path" in recipe_help("fit"), "--ckpt_path" in recipe_help("validate")
        (True, False)
    """
    return _RECIPE_HELP.format(verb=verb, resuming=_RESUMING if verb == "fit" else "")


def overview() -> None:
    """Prints the verbs."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    console.print("[bold]unlearnkit[/]: make a language model forget\n")
    console.print("usage: unlearnkit VERB [OPTIONS]      unlearnkit VERB --help\n", markup=False)
    lines = {name: verbs.load(name).HELP for name in verbs.names()}
    for heading, rows in (("Verbs", lines), ("Examples", EXAMPLES)):
        table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True, style="cyan")
        table.add_column()
        for left, right in rows.items():
            table.add_row(Text(f"  {left}"), Text(right))
        console.print(f"[bold]{heading}[/]")
        console.print(table)
        console.print()
    console.print("Options anywhere: --debug shows tracebacks. --version.", markup=False)
    console.print(
        "Exit codes: 0 done, 1 a fault of unlearnkit, 2 yours to mend, 3 a goal missed, "
        "130 Ctrl-C, 143 SIGTERM.",
        markup=False,
    )
