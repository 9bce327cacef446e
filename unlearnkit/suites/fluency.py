"""Fluency of the answers to rows to keep."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from unlearnkit.data.example import Example
from unlearnkit.engine.generation.scoring import score
from unlearnkit.metrics import AnswerLength, AnswerPerplexity, DistinctN
from unlearnkit.plain import spaced
from unlearnkit.suites.base import Suite, SuiteContext, SuiteResult
from unlearnkit.suites.meaning import Meaning, meaning

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedTokenizerBase

FLUENCY = "fluency"
"""What the values stand under, in place of a suite."""
STREAM = "kept"
MOST_ROWS = 32
METRICS = {
    "distinct_2": DistinctN(2),
    "answer_length": AnswerLength(),
    "answer_perplexity": AnswerPerplexity(),
}
KEYS = tuple(f"{STREAM}/{name}" for name in METRICS)
_ROLES = (("protected", "retain"), ("heldout", "utility"), ("neighbour",))
"""Of the first roles that have answers, the answers are taken."""


def fluency(
    suites: Sequence[Suite],
    results: Mapping[str, SuiteResult],
    starting: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    context: SuiteContext,
) -> dict[str, float | None]:
    """Values by ``kept/<metric>``, of answers that the suites have generated anyway.

    At most `MOST_ROWS` answers count, evenly spaced, the same rows for every model. The
    starting model scores them after their prompts, both as they are shown: as plain text.

    Args:
        suites: What was run.
        results: What they found of one model, by the suite's name.
        starting: The model before unlearning.
        tokenizer: Its tokenizer.
        context: Sizes.

    Returns:
        Nothing if no suite let the model answer rows to keep.
    """
    rows = spaced(_answers(suites, results), MOST_ROWS)
    if not rows:
        return {}
    _score(rows, starting, tokenizer, context)
    for metric in (METRICS["distinct_2"], METRICS["answer_length"]):
        metric.fill(rows)
    return {f"{STREAM}/{name}": metric.of(rows) for name, metric in METRICS.items()}


def fluency_of_rows(
    rows: Iterable[tuple[str | None, Mapping[str, Any]]],
) -> dict[str, float | None]:
    """Those of the values that rows alone give, without the starting model.

    Args:
        rows: Lines of a results file, each with the role of its stream.

    Example:
        >>> fluency_of_rows([("retain", {"generated": "so so so"}), ("forget", {"generated": ""})])
        {'kept/distinct_2': 0.5, 'kept/answer_length': 3.0}
    """
    by_role: dict[str, list[dict[str, Any]]] = {}
    for role, row in rows:
        if isinstance(row.get("generated"), str):
            by_role.setdefault(role or "", []).append({"generated": row["generated"]})
    kept = spaced(_first_with_answers(by_role), MOST_ROWS)
    metrics = {name: METRICS[name] for name in ("distinct_2", "answer_length")}
    for metric in metrics.values():
        metric.fill(kept)
    return {f"{STREAM}/{name}": metric.of(kept) for name, metric in metrics.items()} if kept else {}


def fluency_meanings() -> dict[str, dict[str, Any]]:
    """The meaning of the values, as a result file holds it.

    Example:
        >>> fluency_meanings()["kept/answer_perplexity"]["direction"]
        'down'
    """
    return {
        f"{STREAM}/{name}": Meaning(
            "protected", metric.direction_on("protected"), metric.headline, metric.judges
        )._asdict()
        for name, metric in METRICS.items()
    }


def _answers(suites: Sequence[Suite], results: Mapping[str, SuiteResult]) -> list[dict[str, Any]]:
    by_role: dict[str, list[dict[str, Any]]] = {}
    for suite in suites:
        found = results.get(suite.name)
        for stream, rows in suite.groups(found.rows if found else ()).items():
            role = meaning(suite, f"{stream}/").role
            answered = [r for r in rows if isinstance(r.get("generated"), str)]
            texts = [{"prompt": r.get("prompt", ""), "generated": r["generated"]} for r in answered]
            by_role.setdefault(role or "", []).extend(texts)
    return _first_with_answers(by_role)


def _first_with_answers(by_role: Mapping[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    for roles in _ROLES:
        if found := [row for role in roles for row in by_role.get(role, [])]:
            return found
    return []


def _score(
    rows: Sequence[dict[str, Any]],
    starting: nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    context: SuiteContext,
) -> None:
    """Adds the starting model's likelihood of each answer; None where there is no token."""
    codec = context.codec(tokenizer)
    prompts = codec.prompts([row["prompt"] for row in rows])
    answers = codec.tokens([row["generated"] for row in rows])
    room = [context.max_length - len(prompt) for prompt in prompts]
    examples = [
        Example(tuple(prompt), tuple(answer[:most]), number, "")
        for number, (prompt, answer, most) in enumerate(zip(prompts, answers, room, strict=True))
        if prompt and answer and most > 0
    ]
    for row in rows:
        row |= {"answer_nll": None, "answer_tokens": None}
    if not examples:
        return
    scores = score(starting, examples, batch_size=context.batch_size)
    fields = AnswerPerplexity().fields(scores.logps, scores.sequence, scores.sequences)
    for example, found in zip(examples, fields, strict=True):
        rows[example.row].update(found)
