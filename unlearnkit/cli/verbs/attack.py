"""``unlearnkit attack``: the run's model and the gold model under the same attack."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from unlearnkit import attacks as attack
from unlearnkit.attacks.kept import Base, Kept, Prepared
from unlearnkit.attacks.measuring import Curve, spaced
from unlearnkit.cli import console
from unlearnkit.cli.recipe.build import RecipeCLI
from unlearnkit.cli.recipe.document import read
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.example import Example
from unlearnkit.data.rows.reader import search_folders
from unlearnkit.data.streams.chat import ChatStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import UserError
from unlearnkit.registry import did_you_mean
from unlearnkit.runs import load_run
from unlearnkit.runs.evaluate import refuse_other_models
from unlearnkit.suites import SuiteContext
from unlearnkit.suites.digest import digest
from unlearnkit.suites.probes import read_probes

NONE = "none"


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


def attacked(run: str, kind: str, options: Options, gold: str | None, out: str | None) -> Kept:
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
    with console.err().status("") as status:
        return attack.attack_and_keep(
            kind,
            {name: getattr(options, name) for name in ATTACKS[kind].reads},
            ATTACKS[kind].prepare(data, examples, context, options),
            models,
            loaded.folder / "attacks",
            tokenizer=data.tokenizer,
            max_length=context.max_length,
            out=Path(out) if out else None,
            on_model=lambda name: status.update(f"{kind}: {name}"),
        )


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

    def run(base: Base) -> Curve:
        return attack.relearn(
            base,
            data.tokenizer,
            split,
            context,
            steps=options.steps,
            every=options.every,
            lr=options.lr,
        )

    return Prepared(run, digest(split))


def _quantize(
    data: UnlearningDataModule, examples: list[Example], context: SuiteContext, options: Options
) -> Prepared:
    bits = (8, 4) if options.bits is None else (options.bits,)
    some = spaced(examples, options.limit)

    def run(base: Base) -> Curve:
        return attack.quantize(base, data.tokenizer, some, context, bits=bits)

    return Prepared(run, digest(some))


def _prefix(
    data: UnlearningDataModule, examples: list[Example], context: SuiteContext, options: Options
) -> Prepared:
    some = spaced(examples, options.limit)
    return Prepared(lambda base: attack.prefix(base, data.tokenizer, some, context), digest(some))


def _fewshot(
    data: UnlearningDataModule, examples: list[Example], context: SuiteContext, options: Options
) -> Prepared:
    split = attack.split_rows(examples, options.rows, options.limit, options.seed)
    chat = isinstance(data.streams["forget"], ChatStream)
    between: dict[str, Any] = {"separator": "", "keep_end": True} if chat else {}

    def run(base: Base) -> Curve:
        return attack.fewshot(base, data.tokenizer, split, context, **between)

    return Prepared(run, digest(split, between))


def _paraphrase(
    data: UnlearningDataModule, examples: list[Example], context: SuiteContext, options: Options
) -> Prepared:
    codec = Codec(data.tokenizer, data.max_length, data.date)
    worded = attack.reworded(data.streams["forget"], codec, options.field, options.data)
    some = {wording: spaced(rows, options.limit) for wording, rows in worded.items()}

    def run(base: Base) -> Curve:
        return attack.paraphrase(base, data.tokenizer, some, context)

    return Prepared(run, digest(some))


def _logit_lens(
    data: UnlearningDataModule, examples: list[Example], context: SuiteContext, options: Options
) -> Prepared:
    some = spaced(examples, options.limit)

    def run(base: Base) -> Curve:
        return attack.logit_lens(base, data.tokenizer, some, context)

    return Prepared(run, digest(some))


class _Kind(NamedTuple):
    """An attack that the command line knows."""

    prepare: Callable[[UnlearningDataModule, list[Example], SuiteContext, Options], Prepared]
    reads: tuple[str, ...]
    """Its options."""


ATTACKS = {
    "relearn": _Kind(_relearn, ("rows", "steps", "every", "lr", "limit", "data", "seed")),
    "quantize": _Kind(_quantize, ("limit", "bits")),
    "prefix": _Kind(_prefix, ("limit",)),
    "fewshot": _Kind(_fewshot, ("rows", "limit", "seed")),
    "paraphrase": _Kind(_paraphrase, ("limit", "data", "field")),
    "logit_lens": _Kind(_logit_lens, ("limit",)),
}
