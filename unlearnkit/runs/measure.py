"""Suites before and after, and on the gold model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unlearnkit.runs.folder import Notes, Sample, Suites
from unlearnkit.suites.base import Suite, SuiteContext, SuiteResult
from unlearnkit.suites.bootstrap import Intervals, bootstrap

if TYPE_CHECKING:
    from torch import nn

Results = dict[str, SuiteResult]
"""Results by suite."""


def run_suites(
    model: nn.Module, tokenizer: Any, suites: Sequence[Suite], context: SuiteContext
) -> Results:
    """Runs each suite on the model."""
    return {name_of(suite): suite.run(model, tokenizer, context) for suite in suites}


def name_of(suite: Suite) -> str:
    """The name that a suite's figures stand under."""
    return suite.registered_name or type(suite).__name__


def figures(results: Mapping[str, Results]) -> Suites:
    """Figures as ``[suite][when][metric]`` from results by when."""
    found: Suites = {}
    for when, by_suite in results.items():
        for suite, result in by_suite.items():
            found.setdefault(suite, {})[when] = dict(result.values)
    return found


def notes(results: Mapping[str, Results]) -> Notes:
    """What was cut or left out, as ``[suite][when]``; of suites that have anything to say."""
    found: Notes = {}
    for when, by_suite in results.items():
        for suite, result in by_suite.items():
            if result.notes:
                found.setdefault(suite, {})[when] = list(result.notes)
    return found


def intervals(
    results: Mapping[str, Results], suites: Sequence[Suite], seed: int
) -> dict[str, dict[str, Intervals]]:
    """Bootstrapped 95 % intervals as ``[suite][when][metric]`` from results by when."""
    return {
        name_of(suite): {
            when: bootstrap(suite, by_suite[name_of(suite)].rows, seed=seed)
            for when, by_suite in results.items()
        }
        for suite in suites
    }


def rows(results: Mapping[str, Results]) -> list[dict[str, Any]]:
    """All rows of all suites, each with its suite and when it was found."""
    return [
        {"suite": suite, "when": when, **row}
        for when, by_suite in results.items()
        for suite, result in by_suite.items()
        for row in result.rows
    ]


def samples(before: Results, after: Results, count: int = 3) -> list[Sample]:
    """The first forget probes with what was said before and after."""
    found: list[Sample] = []
    for suite, result in before.items():
        pairs = zip(result.rows, after[suite].rows, strict=True)
        for old, new in pairs:
            if old.get("stream") == "forget" and "generated" in old:
                found.append(
                    Sample(old["prompt"], old["reference"], old["generated"], new["generated"])
                )
    return found[:count]
