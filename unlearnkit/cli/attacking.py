"""``unlearnkit attack``: the run's model and the gold model under the same attack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from unlearnkit.cli import console
from unlearnkit.cli.document import read
from unlearnkit.cli.recipe import RecipeCLI
from unlearnkit.data.base_model import BaseModel
from unlearnkit.data.chat import ChatStream
from unlearnkit.data.codec import Codec
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.example import Example
from unlearnkit.data.reader import search_folders
from unlearnkit.errors import UserError
from unlearnkit.registry import did_you_mean
from unlearnkit.runs import attack, load_run
from unlearnkit.runs.attack.measuring import Curve, spaced
from unlearnkit.runs.folder import write_json
from unlearnkit.runs.scored import fingerprint_of, refuse_other_models
from unlearnkit.suites import SuiteContext
from unlearnkit.suites.probes import read_probes

NONE = "none"
Base = str | BaseModel


@dataclass(frozen=True)
class Options:
    """What `unlearnkit.cli.measuring.attack` takes, and not all attacks read."""

    rows: int
    steps: int
    every: int
    lr: float
    limit: int
    bits: int | None
    data: str | None
    field: str | None
    seed: int


class Attacked(NamedTuple):
    """Measurements of an attack by model, and the file that they are in."""

    kind: str
    curves: dict[str, Curve]
    path: Path


def attacked(run: str, kind: str, options: Options, gold: str | None, out: str | None) -> Attacked:
    """Runs an attack; see `unlearnkit.cli.measuring.attack`."""
    if kind not in ATTACKS:
        raise UserError(
            f"there is no attack '{kind}'.{did_you_mean(kind, list(ATTACKS))}",
            title="usage",
            hint=f"Attacks: {', '.join(ATTACKS)}.",
        )
    if options.limit < 1:
        raise UserError(f"--limit: expected at least 1, found {options.limit}", title="usage")
    loaded = load_run(run)
    search_folders.set((loaded.folder,))
    cli = RecipeCLI(read([loaded.recipe_file]), verb="attack")
    data = cli.datamodule
    data.check()
    if "forget" not in data.data:
        raise UserError(f"the recipe of {run} has no stream 'forget' to attack.")
    stream = data.data["forget"]
    examples = [stream.at(row, row)[0] for row in range(len(stream))]
    context = SuiteContext(data=data.data, max_length=data.max_length, seed=options.seed)
    gold = cli.config.gold if gold is None else None if gold == NONE else gold
    refuse_other_models(str(loaded.model), data.tokenizer, gold=gold)
    models: dict[str, Base] = {"unlearned": str(loaded.model)}
    if gold is not None:
        models["gold"] = gold
    # Files and options are read once, before any model is loaded.
    run_on = ATTACKS[kind](data, examples, context, options)
    curves: dict[str, Curve] = {}
    with console.err().status("") as status:
        for name, base in models.items():
            status.update(f"{kind}: {name}")
            curves[name] = run_on(base)
    path = Path(out) if out else loaded.folder / "attacks" / f"{kind}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(
        path,
        {
            "attack": kind,
            "models": {name: fingerprint_of(base) for name, base in models.items()},
            "settings": asdict(options),
            "curves": curves,
        },
    )
    return Attacked(kind, curves, path)


Prepared = Callable[[Base], Curve]


def _relearn(
    data: UnlearningDataModule, examples: list[Example], context: SuiteContext, options: Options
) -> Prepared:
    if options.data is None:
        split = attack.split_rows(examples, options.rows, options.limit, options.seed)
    else:
        sources = {"benign": options.data}
        benign = read_probes(sources, data.tokenizer, context, prompt_tokens=32, limit=None)
        split = attack.benign_split(
            benign["benign"], examples, options.rows, options.limit, options.seed
        )
    return lambda base: attack.relearn(
        base,
        data.tokenizer,
        split,
        context,
        steps=options.steps,
        every=options.every,
        lr=options.lr,
    )


def _quantize(
    data: UnlearningDataModule, examples: list[Example], context: SuiteContext, options: Options
) -> Prepared:
    bits = (8, 4) if options.bits is None else (options.bits,)
    some = spaced(examples, options.limit)
    return lambda base: attack.quantize(base, data.tokenizer, some, context, bits=bits)


def _prefix(
    data: UnlearningDataModule, examples: list[Example], context: SuiteContext, options: Options
) -> Prepared:
    some = spaced(examples, options.limit)
    return lambda base: attack.prefix(base, data.tokenizer, some, context)


def _fewshot(
    data: UnlearningDataModule, examples: list[Example], context: SuiteContext, options: Options
) -> Prepared:
    split = attack.split_rows(examples, options.rows, options.limit, options.seed)
    chat = isinstance(data.streams["forget"], ChatStream)
    between: dict[str, Any] = {"separator": "", "keep_end": True} if chat else {}
    return lambda base: attack.fewshot(base, data.tokenizer, split, context, **between)


def _paraphrase(
    data: UnlearningDataModule, examples: list[Example], context: SuiteContext, options: Options
) -> Prepared:
    codec = Codec(data.tokenizer, data.max_length, data.date)
    worded = attack.reworded(data.streams["forget"], codec, options.field, options.data)
    some = {wording: spaced(rows, options.limit) for wording, rows in worded.items()}
    return lambda base: attack.paraphrase(base, data.tokenizer, some, context)


def _logit_lens(
    data: UnlearningDataModule, examples: list[Example], context: SuiteContext, options: Options
) -> Prepared:
    some = spaced(examples, options.limit)
    return lambda base: attack.logit_lens(base, data.tokenizer, some, context)


ATTACKS = {
    "relearn": _relearn,
    "quantize": _quantize,
    "prefix": _prefix,
    "fewshot": _fewshot,
    "paraphrase": _paraphrase,
    "logit_lens": _logit_lens,
}
