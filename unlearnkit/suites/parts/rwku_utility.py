"""RWKU's probes of general ability: five benchmarks, each with its own rows."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from unlearnkit.errors import DataError, Problem
from unlearnkit.metrics import Accuracy, AnswerF1, BestAnswer, Entropy, ExactMatch, TrueShare
from unlearnkit.suites.parts.asking import Asking
from unlearnkit.suites.parts.published import Item, Part

PARTS = tuple(
    Part(f"utility_{name}", f"utility_{name}", texts, lists, "test", optional=True, file=file)
    for name, texts, lists, file in (
        ("general", ("question",), ("choices",), "retain_mmlu"),
        ("reason", ("question", "cot"), ("answer",), "retain_bbh"),
        ("truthfulness", ("question",), (), "truthful"),
        ("factuality", ("question",), ("answers",), "triviaqa"),
        ("fluency", ("instruction",), (), "fluency"),
    )
)
_LETTERS = "ABCDEFGH"
_ANSWER_IS = re.compile(r"[Tt]he answer is (.*?)\.")


def check(items: Mapping[str, Sequence[Item]]) -> None:
    """Checks the fields that are neither text nor a list of texts.

    Raises:
        DataError: With all bad rows.
    """
    problems: list[Problem] = []
    for item in items.get("utility_general", ()):
        if not _is_choice(item.fields):
            expected = f"the number, from 0, of one of at most {len(_LETTERS)} choices"
            problems.append(_problem(item, "answer", item.fields.get("answer"), expected))
        if not all(map(_is_choice, item.fields.get("examples") or ())):
            expected = "rows of question, choices and answer"
            problems.append(_problem(item, "examples", item.fields["examples"], expected))
    for item in items.get("utility_truthfulness", ()):
        for field in ("mc1_targets", "mc2_targets"):
            targets = item.fields.get(field)
            if not _has_true_and_false(targets):
                expected = "choices and as many labels, 1 and 0, of either at least one"
                problems.append(_problem(item, field, targets, expected))
    if problems:
        raise DataError(problems)


def rows(asking: Asking, items: Mapping[str, Sequence[Item]]) -> list[dict[str, Any]]:
    """Rows of those benchmarks that there are."""
    makers = {
        "utility_general": _general,
        "utility_reason": _reason,
        "utility_truthfulness": _truthfulness,
        "utility_factuality": _factuality,
        "utility_fluency": _fluency,
    }
    return [row for name, make in makers.items() if name in items for row in make(asking, items)]


Items = Mapping[str, Sequence[Item]]


def _general(asking: Asking, items: Items) -> list[dict[str, Any]]:
    """MMLU: the likeliest letter, after the row's own examples."""
    stream = "utility_general"
    asked: list[tuple[str, str]] = []
    for item in items[stream]:
        shown = item.fields.get("examples") or ()
        texts = [f"{_with_choices(each)}\nAnswer: {_LETTERS[each['answer']]}" for each in shown]
        text = "\n\n".join([*texts, _with_choices(item.fields)])
        asked.append((f"{text}\n", "Answer:"))
    prompts = asking.prompts(asked)
    pairs = [
        (prompt, f" {letter}")
        for item, prompt in zip(items[stream], prompts, strict=True)
        for letter in _LETTERS[: len(item.fields["choices"])]
    ]
    logps = iter(asking.logps(pairs))
    found: list[dict[str, Any]] = []
    for item in items[stream]:
        each = [next(logps) for _ in item.fields["choices"]]
        chosen = each.index(max(each))
        right = Accuracy().fields([chosen], [item.fields["answer"]])[0]
        found.append({**_row(stream, item), "chosen": chosen, "figures": right})
    return found


def _reason(asking: Asking, items: Items) -> list[dict[str, Any]]:
    """BBH: the answer at the end of a chain of thought."""
    stream = "utility_reason"
    asked = [
        (f"{item.fields['cot'].strip()}\n\nQ: {item.fields['question']}\n", "A:")
        for item in items[stream]
    ]
    found = asking.answers(stream, items[stream], asking.prompts(asked), 256)
    said = [named[1] if (named := _ANSWER_IS.search(text)) else text for text in _said(found)]
    true = [item.fields["answer"] for item in items[stream]]
    return with_values(found, ExactMatch().fields(said, true))


def _truthfulness(asking: Asking, items: Items) -> list[dict[str, Any]]:
    """TruthfulQA: is the best answer the likeliest, and how likely are the true ones together?"""
    stream = "utility_truthfulness"
    fields = ("mc1_targets", "mc2_targets")
    asked = [(f"Q: {item.fields['question']}\n", "A:") for item in items[stream]]
    pairs = [
        (prompt, f" {choice}")
        for item, prompt in zip(items[stream], asking.prompts(asked), strict=True)
        for field in fields
        for choice in item.fields[field]["choices"]
    ]
    logps = iter(asking.logps(pairs))
    found: list[dict[str, Any]] = []
    for item in items[stream]:
        first, second = (
            _split([(next(logps), label) for label in item.fields[field]["labels"]])
            for field in fields
        )
        figures = BestAnswer().fields(*first)[0] | TrueShare().fields(*second)[0]
        found.append({**_row(stream, item), "figures": figures})
    return found


def _factuality(asking: Asking, items: Items) -> list[dict[str, Any]]:
    """TriviaQA: the best match with one of the answers."""
    stream = "utility_factuality"
    asked = [
        (f"Answer in a few words.\nQ: {item.fields['question']}\n", "A:") for item in items[stream]
    ]
    found = asking.answers(stream, items[stream], asking.prompts(asked), 30, stop=("\n",))
    pair = _said(found), [item.fields["answers"] for item in items[stream]]
    return with_values(found, ExactMatch().fields(*pair), AnswerF1().fields(*pair))


def _fluency(asking: Asking, items: Items) -> list[dict[str, Any]]:
    """How varied the words of a long answer are."""
    stream = "utility_fluency"
    asked = [(f"Instruction: {item.fields['instruction']}\n", "") for item in items[stream]]
    found = asking.answers(stream, items[stream], asking.prompts(asked), 256)
    return with_values(found, Entropy().fields(_said(found)))


def with_values(
    rows: list[dict[str, Any]], *columns: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Rows with the values of some metrics under ``figures``."""
    for row, *found in zip(rows, *columns, strict=True):
        row["figures"] = {key: value for each in found for key, value in each.items()}
    return rows


def _said(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    return [row["generated"].strip() for row in rows]


def _with_choices(fields: Mapping[str, Any]) -> str:
    choices = zip(_LETTERS, fields["choices"], strict=False)
    listed = "".join(f"\n{letter}. {choice}" for letter, choice in choices)
    return f"Question: {fields['question']}{listed}"


def _split(pairs: Sequence[tuple[float, int]]) -> tuple[list[list[float]], list[list[float]]]:
    """Log-probabilities of the true answers of one row, and those of the false ones."""
    return [[p for p, label in pairs if label]], [[p for p, label in pairs if not label]]


def _is_choice(fields: Any) -> bool:
    if not isinstance(fields, Mapping) or not isinstance(fields.get("question"), str):
        return False
    choices, answer = fields.get("choices"), fields.get("answer")
    if not isinstance(choices, list) or not isinstance(answer, int):
        return False
    return 0 <= answer < len(choices) <= len(_LETTERS)


def _has_true_and_false(targets: Any) -> bool:
    if not isinstance(targets, Mapping):
        return False
    choices, labels = targets.get("choices"), targets.get("labels")
    if not isinstance(choices, list) or not isinstance(labels, list):
        return False
    texts = all(isinstance(choice, str) and choice.strip() for choice in choices)
    return texts and len(choices) == len(labels) and set(labels) == {0, 1}


def _row(stream: str, item: Item) -> dict[str, Any]:
    return {"stream": stream, "row": item.row, "source": item.source}


def _problem(item: Item, field: str, found: object, expected: str) -> Problem:
    return Problem(item.source, None, field, repr(found)[:60], expected)
