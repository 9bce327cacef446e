"""Unlearning by a shipped method in one call."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from unlearnkit.errors import DataError, Problem, RecipeError
from unlearnkit.registry import did_you_mean

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from unlearnkit.cli.recipe.build import RecipeCLI
    from unlearnkit.data.datamodule import UnlearningDataModule
    from unlearnkit.data.rows.memory import RowSource
    from unlearnkit.data.streams.base import Stream
    from unlearnkit.models.load import Policy
    from unlearnkit.runs import RunSummary
    from unlearnkit.suites import Suite

_METHODS = "methods/"
_KEYS = {
    "lr": "model.optimizer.lr",
    "epochs": "trainer.max_epochs",
    "max_steps": "trainer.max_steps",
    "batch_size": "data.batch_size",
    "max_length": "data.max_length",
    "lora": "model.lora",
    "seed": "seed_everything",
}
_GIVEN = ("model.base", "data.tokenizer", "data.streams.forget", "data.streams.retain", "evaluate")


class Unlearned(NamedTuple):
    """What `unlearn` gives back."""

    model: Policy
    """The trained model in eval mode; with an adapter one of PEFT."""
    result: RunSummary
    """Metrics before and after, the conclusion and the run folder."""


def unlearn(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    forget: RowSource | Stream,
    retain: RowSource | Stream | None = None,
    method: str = "npo",
    *,
    lr: float | None = None,
    epochs: int | None = None,
    max_steps: int | None = None,
    batch_size: int | None = None,
    max_length: int | None = None,
    lora: Mapping[str, Any] | None = None,
    chat: bool = False,
    evaluate: Sequence[Suite] | None = None,
    seed: int | None = None,
    run_dir: str | Path = "runs",
    overrides: Mapping[str, Any] | None = None,
) -> Unlearned:
    """Makes a copy of a model forget rows by a shipped method, measured before and after.

    The model that is given stays as it is. What is not given here is as in the recipe
    ``methods/<method>``; its learning rate is for a small model.

    Args:
        model: A causal language model of transformers.
        tokenizer: Its tokenizer.
        forget: What to forget: rows (mappings with ``prompt`` and ``response``, ``question`` and
            ``answer``, ``messages``, or ``text``; texts; a ``datasets.Dataset``), a path to some,
            or a stream, whose fields may have other names.
        retain: What to keep, in the same forms. A method that does not train on it is measured
            on it.
        method: Name of a recipe ``methods/...``, such as ``npo``, ``graddiff`` or ``rmu``.
        lr: Learning rate.
        epochs: Passes over the rows to forget.
        max_steps: Optimiser steps at most.
        batch_size: Rows of each stream in a micro-batch.
        max_length: Longest sequence in tokens.
        lora: Train an adapter of this form, such as ``{"r": 16, "target_modules": "all-linear"}``.
        chat: Put prompts and responses through the tokenizer's chat template.
        evaluate: Suites to run before and after; by default ``copyright``, on the rows that are
            given. An empty list runs none.
        seed: Seed of everything.
        run_dir: Where the run folder goes.
        overrides: Further values of the recipe by dotted key, such as
            ``{"model.objectives.forget.beta": 0.05}``.

    Returns:
        The trained model, and what was found.

    Raises:
        DataError: With all bad rows.
        RecipeError: For an unknown method or key, a value that does not fit, or a method that
            trains on rows to retain where none are given.

    Example:
        >>> import tempfile
        >>> from unlearnkit.models.base import load_tokenizer
        >>> from unlearnkit.models.load import load_model
        >>> rows = [{"prompt": "We hold these truths to be self-evident, that all men",
        ...          "response": " are created equal, that they are endowed by their Creator"}]
        >>> found = unlearn(load_model("tiny"), load_tokenizer("tiny"), rows, max_steps=1,
        ...                 evaluate=[], run_dir=tempfile.mkdtemp(),
        ...                 overrides={"trainer.enable_progress_bar": False})
        >>> found.result.steps
        1
    """
    from unlearnkit.data.generated import generated_by
    from unlearnkit.data.streams.base import FileStream
    from unlearnkit.engine.preflight import SETTINGS, Values, refuse
    from unlearnkit.models.loaded import LoadedModel
    from unlearnkit.runs import fit
    from unlearnkit.suites.copyright import Copyright

    named = {
        "lr": lr, "epochs": epochs, "max_steps": max_steps, "batch_size": batch_size,
        "max_length": max_length, "lora": lora, "seed": seed,
    }  # fmt: skip
    values = {_KEYS[name]: value for name, value in named.items() if value is not None}
    built = _built(method, {**values, **(overrides or {})})
    own = {"forget": _stream("forget", forget, chat)}
    if retain is not None:
        own["retain"] = _stream("retain", retain, chat)
    streams = {**built.datamodule.streams, **own}
    for name in [name for name, each in streams.items() if isinstance(each, FileStream)]:
        if name not in own:
            if name in _needed(built):
                raise RecipeError(
                    f"unlearn: method '{method}' trains on rows to {name}, and none are given",
                    hint=f"Give {name}=rows.",
                )
            del streams[name]
    module, data = built.model, _data(built.datamodule, streams, tokenizer)
    module.base = LoadedModel(model, tokenizer)
    refuse(SETTINGS, Values.of(module))
    suites = [Copyright()] if evaluate is None else list(evaluate)
    with generated_by(built.generation):
        result = fit(
            module,
            data,
            built.trainer,
            recipe_name=f"{_METHODS}{method}",
            recipe_text=_recipe_text(built, module.base.path, own),
            evaluate=suites,
            run_dir=run_dir,
            seed=built.config.seed_everything,
        )
    return Unlearned(module.policy.eval(), result)


def _built(method: str, values: Mapping[str, Any]) -> RecipeCLI:
    """Module, data and trainer of a method's recipe with these values.

    Raises:
        RecipeError: If there is no such method or key, or a value does not fit.
    """
    from unlearnkit.cli.recipe.build import RecipeCLI
    from unlearnkit.cli.recipe.document import COMMAND_LINE, read
    from unlearnkit.cli.recipe.overrides import Override, apply
    from unlearnkit.cli.recipe.shipped import shipped
    from unlearnkit.families import path_of

    known = {
        name.removeprefix(_METHODS): path
        for name, path in shipped().items()
        if name.startswith(_METHODS)
    }
    if method not in known:
        raise RecipeError(
            f"unlearn: there is no method '{method}'.{did_you_mean(method, list(known))}",
            hint=f"Methods: {', '.join(known)}.",
        )
    for key in values:
        if taken := [each for each in _GIVEN if key == each or key.startswith(f"{each}.")]:
            raise RecipeError(
                f"unlearn: overrides: {key} is an argument of its own",
                hint="Rows with settings are a stream: forget=QAStream(rows, limit=9)."
                if "streams" in taken[0]
                else None,
            )
    document = read([known[method]])
    document.tree["evaluate"] = []
    apply(document, [Override(path_of(key), value) for key, value in values.items()])
    where = {COMMAND_LINE: "unlearn"}
    document.places = {path: where.get(place, place) for path, place in document.places.items()}
    document.mistakes = [
        each._replace(place=where.get(each.place, each.place)) for each in document.mistakes
    ]
    return RecipeCLI(document, verb="fit")


def _needed(built: RecipeCLI) -> set[str]:
    """Names of the streams that the method's losses read, and of those that these follow."""
    needed = set(built.model.streams_read)
    for name in sorted(needed):
        needed |= set(built.datamodule.streams[name].depends_on())
    return needed


def _stream(name: str, rows: RowSource | Stream, chat: bool) -> Stream:
    """A stream over rows, by the fields of the first one.

    Raises:
        DataError: If they have none that is known.
        RecipeError: If ``chat`` is given with a stream, which says itself how it is read.
    """
    from unlearnkit.data.rows.memory import name_of, read_source
    from unlearnkit.data.streams.base import Stream
    from unlearnkit.data.streams.chat import ChatStream
    from unlearnkit.data.streams.qa import QAStream
    from unlearnkit.data.streams.text import TextStream

    if isinstance(rows, Stream):
        if chat:
            raise RecipeError(f"unlearn: chat: {name} is a stream", hint="Give a ChatStream.")
        return rows
    table = read_source(rows, name_of(rows, name))
    fields = next((row.fields for row in table.rows), {})
    pair = next(_pairs(fields), None)
    if "messages" in fields:
        return ChatStream(rows)
    if pair and chat:
        return ChatStream(rows, prompt_field=pair[0], response_field=pair[1])
    if pair:
        return QAStream(rows, prompt_field=pair[0], response_field=pair[1])
    if "text" in fields and not chat:
        return TextStream(rows)
    found = f"the fields {', '.join(map(repr, fields)) or 'none'}"
    expected = "'prompt' and 'response', 'question' and 'answer', 'messages' or 'text'"
    hint = f"Other names are given by a stream: {name}=QAStream(rows, prompt_field=...)."
    raise DataError([Problem(table.file, None, None, found, expected)], hint=hint)


def _pairs(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for pair in (("prompt", "response"), ("question", "answer")):
        if all(name in fields for name in pair):
            yield pair


def _data(
    built: UnlearningDataModule, streams: dict[str, Stream], tokenizer: PreTrainedTokenizerBase
) -> UnlearningDataModule:
    """A data module with other streams and the settings of a recipe's."""
    return type(built)(
        streams,
        tokenizer,
        batch_size=built.batch_size,
        max_length=built.max_length,
        anchor=built.anchor,
        num_workers=built.num_workers,
        seed=built.seed,
        shuffle=built.shuffle,
        date=built.date,
        control_tokens=built.control_tokens,
    )


def _recipe_text(built: RecipeCLI, base: str, streams: Mapping[str, Stream]) -> str:
    """The recipe as it was run, which says where what a program gave cannot be read again."""
    from unlearnkit.cli.recipe.document import load_yaml
    from unlearnkit.runs.phases.yaml_text import dump_yaml

    tree = load_yaml(built.recipe_text)
    tree["model"]["base"] = base
    for name, stream in streams.items():
        path = getattr(stream, "path", None)
        tree["data"]["streams"][name] = {"name": stream.registered_name, "path": path}
    return dump_yaml(tree)
