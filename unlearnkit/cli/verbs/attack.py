"""``unlearnkit attack``: attacks a run's model and its gold model."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearnkit.cli import console
from unlearnkit.cli.quiet import heavy_imports
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.signature import own_class
from unlearnkit.cli.verbs.base import parse, parser_of
from unlearnkit.errors import UserError
from unlearnkit.registry import did_you_mean

if TYPE_CHECKING:
    from unlearnkit.attacks import Attack, Kept

HELP = "Try to bring back what a run's model was made to forget."
NONE = "none"


def command(argv: list[str]) -> None:
    """Attacks the run that the words name."""
    with heavy_imports():
        from unlearnkit.attacks import Attack
        from unlearnkit.cli.conclusion import show_again
        from unlearnkit.cli.tables import show_attack

    known = Attack.registered()
    words = [word for word in argv[:2] if not word.startswith("-")]
    if len(words) < 2:
        if not {"-h", "--help"} & {*argv}:
            raise UserError(
                f"expected a run and an attack, found {' '.join(argv) or 'neither'}.",
                title="usage",
                hint=f"unlearnkit attack RUN {next(iter(known))}. Attacks: {', '.join(known)}.",
            )
        usage = "usage: unlearnkit attack RUN ATTACK [OPTIONS]"
        console.out().print(f"{usage}      unlearnkit attack RUN ATTACK --help\n", markup=False)
        console.show_list(
            [(k, (inspect.getdoc(each) or "").partition("\n")[0], "") for k, each in known.items()]
        )
        return
    run, kind = words
    if "." not in kind and kind not in known:
        raise UserError(
            f"there is no attack '{kind}'.{did_you_mean(kind, list(known))}",
            title="usage",
            hint=f"Attacks: {', '.join(known)}. Or give a dotted path such as my_module.MyAttack.",
        )
    cls = own_class(kind, Attack) if "." in kind else known[kind]
    attack, common = _read(cls, kind, argv[2:])
    show_attack(attacked(run, attack, **common))
    show_again(run)


def _read(cls: type[Attack], kind: str, argv: list[str]) -> tuple[Attack, dict[str, Any]]:
    parser = parser_of(cls, f"attack RUN {kind}", positional=False)
    parser.add_argument(
        "--gold",
        type=str,
        help="The model that never saw the forget set; by default that of the run's recipe. none "
        "for none.",
    )
    parser.add_argument(
        "--out",
        type=str,
        help="New file of the metrics; by default attacks/ATTACK.json in the run folder, or "
        "ATTACK-2.json and so on if that is taken.",
    )
    arguments: dict[str, Any] = parse(parser, cls, argv)
    common = {name: arguments.pop(name) for name in ("gold", "out")}
    return cls(**arguments), common


def attacked(run: str, attack: Attack, gold: str | None, out: str | None) -> Kept:
    """Attacks the model of a run, unless a file has this very attack already.

    Args:
        run: Run folder.
        attack: The attack.
        gold: The gold model, ``none`` for none, or None for that of the run's recipe.
        out: A new file, in place of one in the run folder.

    Raises:
        UserError: If the run has no forget rows, or the attack refuses them.
    """
    from unlearnkit.attacks import Target, attack_and_keep
    from unlearnkit.cli.recipe.build import RecipeCLI
    from unlearnkit.data.rows.reader import search_folders
    from unlearnkit.models.base import BaseModel
    from unlearnkit.runs import load_run
    from unlearnkit.runs.evaluate import refuse_other_models
    from unlearnkit.suites import SuiteContext

    loaded = load_run(run)
    search_folders.set((loaded.folder,))
    cli = RecipeCLI(read([loaded.recipe_file]), verb="attack")
    data = cli.datamodule
    data.check()
    if "forget" not in data.data:
        raise UserError(f"the recipe of {run} has no stream 'forget' to attack.")
    rows = data.data["forget"]
    target = Target(
        [rows.at(row, row)[0] for row in range(len(rows))],
        data.codec(),
        SuiteContext.of(data),
        data.streams["forget"],
    )
    gold = cli.config.gold if gold is None else None if gold == NONE else gold
    refuse_other_models(str(loaded.model), data.tokenizer, gold=gold)
    models: dict[str, str | BaseModel] = {"unlearned": str(loaded.model)}
    if gold is not None:
        models["gold"] = gold
    with console.err().status("") as status:
        return attack_and_keep(
            attack,
            target,
            models,
            loaded.folder / "attacks",
            out=Path(out) if out else None,
            on_model=lambda name: status.update(f"{type(attack).__name__}: {name}"),
        )
