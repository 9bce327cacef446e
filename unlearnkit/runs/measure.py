"""Measures models by suites, before and after, and the gold model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import lightning as L
from torch import nn

from unlearnkit.callbacks.suite_progress import SuiteProgress
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.generated import generating
from unlearnkit.engine.generation.last_turn import add_last_turns
from unlearnkit.files import write_json, write_rows
from unlearnkit.runs.folder import Notes, RunSummary, Sample, Suites
from unlearnkit.runs.token_logps import TokenLogps
from unlearnkit.suites.base import Suite, SuiteContext, SuiteResult
from unlearnkit.suites.fluency import FLUENCY, fluency, fluency_meanings
from unlearnkit.suites.meaning import as_stored
from unlearnkit.suites.parts.bootstrap import Intervals, bootstrap

Results = dict[str, SuiteResult]
"""Results by suite."""


def measure(
    model: nn.Module,
    tokenizer: Any,
    suites: Sequence[Suite],
    context: SuiteContext,
    *,
    reference: nn.Module | None = None,
    gold: nn.Module | None = None,
    gold_given: bool = False,
    shown: Callable[[str], AbstractContextManager[None]] = lambda suite: nullcontext(),
) -> Results:
    """Runs each suite on the model.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        suites: What to run.
        context: Streams, seed and sizes.
        reference: The model before unlearning, which is compared with.
        gold: The model that never saw the forget set, which is compared with.
        gold_given: Whether there is one, also where no suite says that it uses it.
        shown: Shows the progress of a suite, given its name.
    """
    compared = replace(context, reference=reference, gold=gold)
    found: Results = {}
    for suite in suites:
        with shown(name_of(suite)):
            withheld = (gold is not None or gold_given) and not suite.uses_gold
            own = compared.without_gold(name_of(suite)) if withheld else compared
            found[name_of(suite)] = suite.run(model, tokenizer, own)
        add_last_turns(tokenizer, found[name_of(suite)].rows)
    return found


def name_of(suite: Suite) -> str:
    """The name that a suite's metrics stand under."""
    return suite.name


def progress_of(trainer: L.Trainer, suites: Sequence[Suite]) -> SuiteProgress | None:
    """What shows how far suites have come, where the trainer shows how far it has."""
    if trainer.progress_bar_callback is None or not trainer.is_global_zero:
        return None
    return SuiteProgress([name_of(suite) for suite in suites])


_STAGES = ("before", "after", "gold")


class Stages:
    """Results of a run, stage by stage: before, after, and gold.

    Models are given as functions, which are called only where there is a suite to run.

    Args:
        suites: What is run at each stage.
        data: The streams, which are checked.
        seed: Of what suites draw.
        gold: A model that never saw the forget set.
        load: Loads it.
        progress: Shows how far suites have come; None for nothing.
    """

    def __init__(
        self,
        suites: Sequence[Suite],
        data: UnlearningDataModule,
        seed: int,
        gold: str | None,
        load: Callable[[str], nn.Module],
        progress: SuiteProgress | None = None,
    ) -> None:
        self._progress = progress
        self.suites, self.seed = suites, seed
        self.context = replace(SuiteContext.of(data, seed), kept={})
        self.results: dict[str, Results] = {}
        self.fluency: dict[str, dict[str, float | None]] = {}
        self.tokens = TokenLogps(data.data, data.tokenizer)
        self._tokenizer = data.tokenizer
        self._gold = (lambda: load(gold)) if gold else lambda: None
        self._gold_given = gold is not None

    def before(self, model: Callable[[], nn.Module]) -> None:
        """Measures the model before unlearning, and the gold model where suites use it."""
        if self.suites:
            needs_gold = any(suite.uses_gold for suite in self.suites)
            found, gold = model(), self._gold() if needs_gold else None
            if gold is not None:
                # First, since the others are compared with its values.
                self._measure("gold", gold, found, gold=gold)
            self._measure("before", found, found, gold=gold)

    def after(self, model: Callable[[], nn.Module], reference: Callable[[], nn.Module]) -> None:
        """Measures the model after unlearning, and the gold model if that is not done."""
        if self.suites:
            gold, starting = self._gold(), reference()
            self._measure("after", model(), starting, reference=starting, gold=gold)
            if gold is not None and "gold" not in self.results:
                self._measure("gold", gold, starting, gold=gold)
            self.results = {k: self.results[k] for k in _STAGES if k in self.results}
            self.fluency = {k: self.fluency[k] for k in _STAGES if k in self.fluency}

    def _measure(
        self, stage: str, model: nn.Module, starting: nn.Module, **compared: nn.Module | None
    ) -> None:
        progress = self._progress
        shown: Any = {} if progress is None else {"shown": partial(progress.of, stage)}
        shown["gold_given"] = self._gold_given
        found = measure(model, self._tokenizer, self.suites, self.context, **compared, **shown)
        self.results[stage] = found
        written = fluency(self.suites, found, starting, self._tokenizer, self.context)
        if written:
            self.fluency[stage] = written
        self.tokens.measure(stage, model)

    def record(self, folder: Path, summary: RunSummary) -> None:
        """Writes ``rows.jsonl``, and puts metrics, notes and samples into a summary."""
        rows = [
            {"suite": suite, "when": stage, **row}
            for stage, by_suite in self.results.items()
            for suite, result in by_suite.items()
            for row in result.rows
        ]
        write_rows(folder / "rows.jsonl", rows)
        summary.suites = self.metrics
        summary.metrics = self.meanings
        summary.notes = self.notes
        summary.samples = self.samples()
        if self.results:
            summary.generation = generating().as_json()

    def write_for_report(self, folder: Path) -> None:
        """Writes what the report alone needs: log-probabilities of tokens, and intervals."""
        if not self.suites:
            return
        write_rows(folder / "tokens.jsonl", self.tokens.rows())
        write_json(folder / "intervals.json", self.intervals)

    @cached_property
    def intervals(self) -> dict[str, dict[str, Intervals]]:
        """Bootstrapped bounds as ``[suite][stage][metric]``, of all that was measured."""
        return {
            name_of(suite): {
                stage: bootstrap(suite, by_suite[name_of(suite)].rows, seed=self.seed)
                for stage, by_suite in self.results.items()
            }
            for suite in self.suites
        }

    def of(self, stage: str) -> dict[str, dict[str, float | None]]:
        """Values of a stage as ``[suite][metric]``; none if it was not measured."""
        return {name: dict(each.values) for name, each in self.results.get(stage, {}).items()}

    @property
    def metrics(self) -> Suites:
        """Values as ``[suite][stage][metric]``."""
        found: Suites = {}
        for stage, by_suite in self.results.items():
            for suite, result in by_suite.items():
                found.setdefault(suite, {})[stage] = dict(result.values)
        return found | ({FLUENCY: dict(self.fluency)} if self.fluency else {})

    @property
    def meanings(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Role, direction and headline of each value, as ``[suite][metric]``."""
        by_stage = self.metrics
        meanings = {
            suite.name: as_stored(suite, dict.fromkeys(key for v in found.values() for key in v))
            for suite in self.suites
            if (found := by_stage.get(suite.name))
        }
        return meanings | ({FLUENCY: fluency_meanings()} if self.fluency else {})

    @property
    def notes(self) -> Notes:
        """What was cut or left out, as ``[suite][stage]``; of suites that have notes."""
        found: Notes = {}
        for stage, by_suite in self.results.items():
            for suite, result in by_suite.items():
                if result.notes:
                    found.setdefault(suite, {})[stage] = list(result.notes)
        return found

    def samples(self, count: int = 3) -> list[Sample]:
        """The first forget probes with what was said before and after."""
        found: list[Sample] = []
        after = self.results.get("after", {})
        for suite, result in self.results.get("before", {}).items():
            # An own suite may give other rows the second time, and one that failed gives none.
            rows = after[suite].rows if suite in after else []
            for old, new in zip(result.rows, rows, strict=False):
                if old.get("stream") == "forget" and "generated" in old and "generated" in new:
                    # An own suite's rows may have no true text.
                    texts = (old.get("asked", old.get("prompt", "")), old.get("reference", ""))
                    found.append(Sample(*texts, old["generated"], new["generated"]))
        return found[:count]
