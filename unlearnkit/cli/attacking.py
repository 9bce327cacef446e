"""``unlearnkit attack``: the run's model and the gold model under the same attack."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from unlearnkit.cli import console
from unlearnkit.cli.document import read
from unlearnkit.cli.recipe import RecipeCLI
from unlearnkit.data.base_model import BaseModel
from unlearnkit.data.reader import search_folders
from unlearnkit.errors import UserError
from unlearnkit.registry import did_you_mean
from unlearnkit.runs import attack, load_run
from unlearnkit.runs.folder import write_json
from unlearnkit.runs.scored import fingerprint_of
from unlearnkit.suites import SuiteContext

KINDS = ("relearn", "quantize", "prefix")
NONE = "none"


class Attacked(NamedTuple):
    """Measurements of an attack by model, and the file that they are in."""

    kind: str
    curves: dict[str, list[dict[str, Any]]]
    path: Path


def attacked(
    run: str,
    kind: str,
    rows: int,
    steps: int,
    every: int,
    lr: float,
    limit: int,
    bits: int,
    gold: str | None,
    out: str | None,
    seed: int,
) -> Attacked:
    """Runs an attack; see `unlearnkit.cli.measuring.attack`."""
    if kind not in KINDS:
        raise UserError(
            f"there is no attack '{kind}'.{did_you_mean(kind, list(KINDS))}",
            title="usage",
            hint=f"Attacks: {', '.join(KINDS)}.",
        )
    if limit < 1:
        raise UserError(f"--limit: expected at least 1, found {limit}", title="usage")
    loaded = load_run(run)
    search_folders.set((loaded.folder,))
    cli = RecipeCLI(read([loaded.recipe_file]), verb="attack")
    data = cli.datamodule
    data.check()
    if "forget" not in data.data:
        raise UserError(f"the recipe of {run} has no stream 'forget' to attack.")
    stream = data.data["forget"]
    examples = [stream.at(row, row)[0] for row in range(len(stream))]
    context = SuiteContext(max_length=data.max_length, seed=seed)
    gold = cli.config.gold if gold is None else None if gold == NONE else gold
    models: dict[str, str | BaseModel] = {"unlearned": str(loaded.model)}
    if gold is not None:
        models["gold"] = gold
    curves: dict[str, list[dict[str, Any]]] = {}
    with console.err().status("") as status:
        for name, base in models.items():
            status.update(f"{kind}: {name}")
            if kind == "relearn":
                split = attack.split_rows(examples, rows, limit, seed)
                curves[name] = attack.relearn(
                    base, data.tokenizer, split, context, steps=steps, every=every, lr=lr
                )
                continue
            count = min(limit, len(examples))
            some = [examples[i * len(examples) // count] for i in range(count)]
            if kind == "quantize":
                curves[name] = attack.quantize(base, data.tokenizer, some, context, bits=[bits])
            else:
                curves[name] = attack.prefix(base, data.tokenizer, some, context)
    path = Path(out) if out else loaded.folder / "attacks" / f"{kind}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {"rows": rows, "steps": steps, "every": every, "lr": lr, "bits": bits}
    write_json(
        path,
        {
            "attack": kind,
            "models": {name: fingerprint_of(base) for name, base in models.items()},
            "settings": {**settings, "limit": limit, "seed": seed},
            "curves": curves,
        },
    )
    return Attacked(kind, curves, path)
