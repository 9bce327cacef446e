"""Checks a whole recipe before any model is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from unlearnkit.attacks.addresses import unmeasured
from unlearnkit.cli.recipe import signature as schema
from unlearnkit.cli.recipe.choices import SECTIONS as RECIPE_SECTIONS
from unlearnkit.cli.recipe.document import Document, Mistake, refusal
from unlearnkit.cli.recipe.names import OPTIMIZER, Entry, bound_of, dotted, entries, own_keys
from unlearnkit.cli.recipe.scalars import keep_scalars
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.generated import GenerationBackend
from unlearnkit.data.rows.reader import find_file
from unlearnkit.data.streams.prompts import without_responses
from unlearnkit.errors import DataError, RecipeError, UserError
from unlearnkit.families import (
    ATTACKS,
    CALLBACKS,
    LORA,
    OBJECTIVES,
    STREAMS,
    SUITES,
    KeyPath,
    at,
    with_plain_lora,
)
from unlearnkit.module import UnlearningModule
from unlearnkit.plain import told
from unlearnkit.redact import is_path, one_line
from unlearnkit.registry import Registered, did_you_mean
from unlearnkit.runs.phases.yaml_text import MASKED, masked_keys
from unlearnkit.verdict.goals import faults_of

keep_scalars()

SECTIONS = {"model": UnlearningModule, "data": UnlearningDataModule, "trainer": Trainer,
            "generation": GenerationBackend}  # fmt: skip
"""The classes whose signatures are the sections of a recipe."""

# Filled in from elsewhere in the recipe.
LINKED: dict[KeyPath, str] = {
    ("data", "tokenizer"): "model.base",
    ("data", "seed"): "seed_everything",
}
_PLAIN: dict[str, tuple[type, ...]] = {
    "seed_everything": (int,), "run_dir": (str,), "gold": (str, type(None)),
}  # fmt: skip


def check(document: Document) -> list[str]:
    """Refuses a recipe that cannot be run, with every mistake in one error.

    Returns:
        Warnings: things that are allowed and probably not meant.

    Raises:
        RecipeError: With a line ``file:line: key: what is wrong`` for each mistake.
    """
    mistakes, warnings = find_mistakes(document)
    if mistakes:
        raise refusal(document.name, mistakes)
    return warnings


def find_mistakes(document: Document) -> tuple[list[Mistake], list[str]]:
    """Everything that is wrong in a recipe, and warnings."""
    checker = _Checker(document)
    mistakes = [*document.mistakes, *checker.run()]
    masked = [f"{key}: '***' {MASKED}" for key in masked_keys(document.tree)]
    return mistakes, [*checker.warnings, *masked]


class _Checker:
    """One pass over a document."""

    def __init__(self, document: Document) -> None:
        self.document, self.tree = document, with_plain_lora(document.tree)
        self.warnings: list[str] = []
        self.built: dict[KeyPath, Any] = {}

    def run(self) -> list[Mistake]:
        """All mistakes."""
        found = [*self._sections(), *self._entries()]
        found += [*self._streams(), *self._goals()]
        return [Mistake(path, message, self.document.place(path)) for path, message in found]

    def _sections(self) -> Iterator[schema.Finding]:
        for key, value in self.tree.items():
            if key in SECTIONS:
                skip = [str(path[1]) for path in LINKED if path[0] == key]
                for path, message in schema.check_arguments(
                    SECTIONS[key],
                    value,
                    (key,),
                    skip=skip,
                    given_elsewhere=own_keys(self.tree, key),
                ):
                    if path in LINKED:
                        message = f"this is taken from {LINKED[path]}; give it there."
                    yield path, message
            elif key in _PLAIN:
                if not isinstance(value, _PLAIN[key]) or isinstance(value, bool):
                    yield (key,), f"expected {schema.describe(_PLAIN[key][0])}, found {told(value)}"
                elif isinstance(value, int) and not 0 <= value < 2**32:
                    yield (key,), f"expected a number from 0 to {2**32 - 1}, found {value}"
                elif isinstance(value, str) and (shown := one_line(value)) != value:
                    yield (key,), f"line breaks or control characters in '{shown}'"
            elif key == "goals":
                yield from (((key, *path), fault) for path, fault in faults_of(value))
            elif key not in ("evaluate", "attack"):
                yield (key,), _unknown_section(str(key), self.document.choices)
        for section, name in (("model", "objectives"), ("data", "streams")):
            if not isinstance(at(self.tree, (section, name)), Mapping):
                yield (section, name), f"a recipe needs a mapping of named {name} here."
        yield from self._names()
        trainer = self.tree.get("trainer") or {}
        bounds = ("max_epochs", "max_steps", "max_time")
        # One that is misspelled is a mistake of its own, which says what was meant.
        if isinstance(trainer, Mapping) and not (
            trainer.get("fast_dev_run")
            or any(get_close_matches(str(key), bounds, cutoff=0.85) for key in trainer)
        ):
            yield ("trainer",), "give max_epochs or max_steps; Lightning's default is 1000 epochs."

    def _names(self) -> Iterator[schema.Finding]:
        """Names that the recipe gives, which stand in names of metrics, weights and files."""
        for family in (OBJECTIVES, STREAMS):
            given = at(self.tree, family.place)
            for name in given if isinstance(given, Mapping) else ():
                path = (*family.place, name)
                # Objectives are modules of a torch module, and stand in the names of its weights.
                if family is OBJECTIVES and (not isinstance(name, str) or not name or "." in name):
                    yield path, f"expected a name without dots, found {told(name)}"
                elif (shown := one_line(str(name))) != str(name):
                    yield path, f"line breaks or control characters in '{shown}'"
                elif is_path(str(name)):
                    yield path, f"expected a name that is no path, found '{name}'"

    def _entries(self) -> Iterator[schema.Finding]:
        for entry in entries(self.tree):
            if entry.error is not None or entry.class_path is None:
                assert entry.error is not None
                yield (*entry.path, "name"), _sentences(entry.error)
                continue
            try:
                cls = schema.import_class(entry.class_path, bound_of(entry))
            except RecipeError as error:
                yield (*entry.path, "name"), _sentences(error)
                continue
            skip = ("params",) if entry.path == OPTIMIZER else ()
            found = list(schema.check_arguments(cls, entry.arguments, entry.path, skip=skip))
            yield from found
            if issubclass(cls, Registered):
                yield from self._build(entry, cls, found)

    def _build(
        self, entry: Entry, cls: type, found: list[schema.Finding]
    ) -> Iterator[schema.Finding]:
        """Builds it: that is cheap, and a constructor knows more than its types say."""
        wrong = {path[len(entry.path)] for path, _ in found if len(path) > len(entry.path)}
        arguments = {key: value for key, value in entry.arguments.items() if key not in wrong}
        if any(map(_holds_classes, arguments.values())):
            return
        try:
            self.built[entry.path] = cls(**arguments)
        except UserError as error:
            yield entry.path, _sentences(error)
        except Exception as error:
            if not found:  # else it is for want of an argument that is reported
                yield entry.path, f"{cls.__name__}: {error}"

    def _streams(self) -> Iterator[schema.Finding]:
        given = at(self.tree, STREAMS.place)
        if not isinstance(given, Mapping):
            return
        streams = list(given)
        used: set[str] = set()
        for path, objective in self._built(OBJECTIVES.place):
            if not objective.weight:
                continue
            used |= set(objective.streams)
            for name in objective.streams:
                if name not in streams:
                    yield path, _no_stream(type(objective).registered_name, str(name), streams)
                elif not getattr(self.built.get((*STREAMS.place, name)), "answered", True):
                    yield path, without_responses(str(name))
        for path, stream in self._built(STREAMS.place):
            for name in stream.depends_on():
                if name not in streams:
                    yield path, _no_stream(type(stream).registered_name, str(name), streams)
            yield from self._file(path, stream)
        for path, callback in self._built(CALLBACKS.place):
            read = getattr(callback, "streams", ())
            used |= set(read)
            for name in read:
                if name not in streams:
                    yield path, _no_stream(type(callback).registered_name, name, streams)
        anchor = at(self.tree, ("data", "anchor")) or "forget"
        if anchor not in streams:
            near = did_you_mean(str(anchor), streams)
            yield ("data", "anchor"), f"no stream is named '{anchor}'.{near}"
        lora = at(self.tree, LORA)
        if isinstance(lora, Mapping) and lora.get("init_lora_weights") == "fila":
            wanted = lora.get("importance")
            wanted = wanted if isinstance(wanted, Mapping) else {}
            used |= {str(wanted.get(each, each)) for each in ("forget", "retain")}
        self._warn_of_unused(used | {str(anchor)}, streams)

    def _goals(self) -> Iterator[schema.Finding]:
        """Goals that nothing measures; none where a suite or an attack could not be made."""
        given = self.tree.get("goals")
        wanted = [each.path for each in entries(self.tree) if each.family in (SUITES, ATTACKS)]
        if isinstance(given, Mapping) and self.built.keys() >= set(wanted):
            suites, attacks = (
                [each for _, each in self._built(f.place)] for f in (SUITES, ATTACKS)
            )
            for address, message in unmeasured(given, suites, attacks, self.tree.get("gold")):
                yield ("goals", address), message

    def _file(self, path: KeyPath, stream: Any) -> Iterator[schema.Finding]:
        """Names a missing file; rows are checked later, all at once."""
        file = getattr(stream, "path", None)
        # Without a suffix it may be the id of a data set on the Hub.
        if isinstance(file, str) and Path(file).suffix and find_file(file) is None:
            try:
                stream.check()
            except DataError as error:
                for problem in error.problems:
                    yield (*path, "path"), str(problem)

    def _warn_of_unused(self, used: set[str], streams: list[str]) -> None:
        if any(each.path not in self.built for each in entries(self.tree) if _reads(each)):
            return  # what it reads is not known
        for _, suite in self._built(SUITES.place):
            used |= set(map(str, suite.streams))
        for path, stream in self._built(STREAMS.place):
            if path[-1] in used:
                used |= set(map(str, stream.depends_on()))
        for name in streams:
            if name not in used:
                path = (*STREAMS.place, name)
                unread = "neither an objective nor a suite nor a callback reads this stream"
                self.warnings.append(f"{self.document.place(path)}: {dotted(path)}: {unread}")

    def _built(self, place: KeyPath) -> list[tuple[KeyPath, Any]]:
        return [(path, each) for path, each in self.built.items() if path[:-1] == place]


def _holds_classes(value: Any) -> bool:
    """Whether a value is a class and its arguments, or a mapping of such."""
    if not isinstance(value, Mapping):
        return False
    return "class_path" in value or any(map(_holds_classes, value.values()))


def _reads(entry: Entry) -> bool:
    return entry.family in (OBJECTIVES, STREAMS, SUITES)


def _unknown_section(key: str, choices: Mapping[str, Any]) -> str:
    if key in choices:
        return f"it is a choice, of which a block is taken: --{key} {'|'.join(choices[key][1])}."
    message = f"a recipe has no section '{key}'."
    elsewhere = schema.SYNONYMS | {
        name: f"{section}.{name}"
        for section, cls in SECTIONS.items()
        for name in schema.accepted(cls)
    }
    near = did_you_mean(key, [*choices, *RECIPE_SECTIONS, *elsewhere])
    if not near:
        own = f" Choices of this recipe: {', '.join(choices)}." if choices else ""
        return f"{message} It has: {', '.join(RECIPE_SECTIONS)}.{own}"
    word = near.split("'")[1]
    if word in choices:
        return f"this recipe has neither a section nor a choice '{key}'. Did you mean --{word}?"
    if word in RECIPE_SECTIONS:
        return message + near
    where = f" It is '{elsewhere[word]}'."
    return message + (where if word == key else near + where)


def _no_stream(reader: str | None, name: str, streams: list[str]) -> str:
    return (
        f"{reader or 'this entry'} reads the stream '{name}', and data.streams.{name} is "
        f"missing.{did_you_mean(name, streams)} The recipe has: {', '.join(streams) or 'none'}."
    )


def _sentences(error: UserError) -> str:
    message = error.message if error.message.endswith((".", "?")) else f"{error.message}."
    return message if error.hint is None else f"{message} {error.hint}"
