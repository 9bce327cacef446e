"""``unlearnkit attack``: attacks a model and its gold model."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnkit.cli import console
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.recipe.signature import own_class
from unlearnkit.cli.recipe.suites import chosen_suites
from unlearnkit.cli.targets import target_of_run, target_of_suite
from unlearnkit.cli.verbs.base import parse, parser_of
from unlearnkit.errors import UserError
from unlearnkit.registry import PACKAGE, did_you_mean

if TYPE_CHECKING:
    from unlearnkit.attacks import Attack, Kept

HELP = "Try to bring back what a model was made to forget."
NONE = "none"
MAX_LENGTH = 512
_COMMON = {
    "forget": (
        str,
        "File of the forget rows, or a stream such as '{name: qa, path: FILE, prompt_field: q}'; "
        "of a run by default its recipe's.",
    ),
    "normal": (str, "File or stream of rows to keep, which an attack can name as normal."),
    "suite": (str, "Name of a suite, or YAML, whose forget rows are taken in place of --forget."),
    "gold": (
        str,
        "The model that never saw the forget set; by default that of the run's recipe. none for "
        "none.",
    ),
    "max_length": (int, f"Longest sequence in tokens; of a run its recipe's, else {MAX_LENGTH}."),
    "out": (
        str,
        "New file of the metrics; by default attacks/ATTACK.json in the run folder, else in "
        "evaluations/MODEL, or ATTACK-2.json and so on if that is taken.",
    ),
}


def command(argv: list[str]) -> None:
    """Attacks the model that the words name."""
    with heavy_imports():
        from unlearnkit.attacks import Attack
        from unlearnkit.cli.conclusion import show_again
        from unlearnkit.cli.tables import show_attack

    known = Attack.registered()
    words = [word for word in argv[:2] if not word.startswith("-")]
    if len(words) < 2:
        if not {"-h", "--help"} & {*argv}:
            raise UserError(
                f"expected a model and an attack, found {' '.join(argv) or 'neither'}.",
                title="usage",
                hint=f"unlearnkit attack MODEL {next(iter(known))}. Attacks: {', '.join(known)}.",
            )
        usage = "usage: unlearnkit attack MODEL ATTACK [OPTIONS]"
        console.out().print(f"{usage}      unlearnkit attack MODEL ATTACK --help\n")
        console.show_list(
            [(k, (inspect.getdoc(each) or "").partition("\n")[0], "") for k, each in known.items()]
        )
        return
    model, kind = words
    if "." not in kind and kind not in known:
        raise UserError(
            f"there is no attack '{kind}'.{did_you_mean(kind, list(known))}",
            title="usage",
            hint=f"Attacks: {', '.join(known)}. Or give a dotted path such as my_module.MyAttack.",
        )
    cls = own_class(kind, Attack) if "." in kind else known[kind]
    attack, common = _read(cls, kind, argv[2:])
    show_attack(attacked(model, attack, **common))
    if (Path(model) / "recipe.yaml").is_file():
        show_again(model)


def _read(cls: type[Attack], kind: str, argv: list[str]) -> tuple[Attack, dict[str, Any]]:
    parser = parser_of(cls, f"attack MODEL {kind}", positional=False)
    for name, (form, about) in _COMMON.items():
        parser.add_argument(f"--{name}", type=form, help=about)
    given: dict[str, Any] = parse(parser, cls, argv, defaults=False)
    common = {name: given.pop(name) for name in _COMMON if name in given}
    made = cls(**given)
    made.refuse_without_effect(given)
    return made, common


def attacked(
    model: str,
    attack: Attack,
    *,
    forget: str | None = None,
    normal: str | None = None,
    suite: str | None = None,
    gold: str | None = None,
    max_length: int | None = None,
    out: str | None = None,
) -> Kept:
    """Attacks a model, unless a file has this very attack already.

    Args:
        model: Run folder, or any model that a recipe's ``model.base`` can name.
        attack: The attack.
        forget: File or stream of the forget rows; of a run by default its recipe's.
        normal: File or stream of rows to keep, for attacks that train on such.
        suite: A suite whose forget rows are taken.
        gold: The gold model, ``none`` for none, or None for that of the run's recipe.
        max_length: Longest sequence in tokens; of a run by default its recipe's.
        out: A new file, in place of one in the folder of the model's results.

    Raises:
        UserError: If there are no forget rows, or the attack refuses them.
    """
    if max_length is not None and max_length < 1:
        raise UserError(f"--max_length: expected at least 1, found {max_length}", title="usage")
    from unlearnkit.attacks import attack_and_keep
    from unlearnkit.models.base import BaseModel
    from unlearnkit.runs.evaluate import refuse_other_models, results_of

    suites = chosen_suites([suite] if suite else None, forget, normal)
    if len(suites) > 1:
        raise UserError(f"--suite: expected one, found {len(suites)}", title="usage")
    # What an own attack reads is not known.
    ours = type(attack).__module__.startswith(PACKAGE)
    if normal and ours and "normal" not in attack.settings.values():
        raise UserError(
            "--normal: has no effect on this attack, which reads no rows to keep",
            title="usage",
            hint="Leave it out; relearn with --data normal trains on them.",
        )
    if not (Path(model) / "recipe.yaml").is_file():
        if not suites:
            raise UserError(
                f"no forget rows are given, and {model} is no run with a recipe to name them.",
                title="usage",
                hint="Add --forget FILE, or --suite NAME.",
            )
        place, known = results_of(model), None
        target = target_of_suite(model, suites[0], max_length or MAX_LENGTH)
    else:
        target, place, model, known = target_of_run(model, suites, max_length)
    gold = known if gold is None else None if gold == NONE else gold
    refuse_other_models(model, target.tokenizer, gold=gold)
    models: dict[str, str | BaseModel] = {"unlearned": model}
    if gold is not None:
        models["gold"] = gold
    with console.err().status("") as status:
        return attack_and_keep(
            attack,
            target,
            models,
            place / "attacks",
            out=Path(out) if out else None,
            on_model=lambda name: status.update(f"{type(attack).__name__}: {name}"),
        )
