"""Inputs of metrics, made from a model's reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from benchmarks.meta import facts as data
from benchmarks.meta.facts import Fact
from benchmarks.meta.readings import Reading, flat
from unlearnkit.errors import UserError
from unlearnkit.functional import membership
from unlearnkit.functional.text import rouge
from unlearnkit.functional.tofu import truth_ratio
from unlearnkit.metrics import UnlearningMetric

MIN_K = 0.2
"""Share of the tokens that the score of the membership metrics averages."""
_PARTS = {
    "logps": "tokens",
    "correct": "tokens",
    "standardised": "tokens",
    "kl": "reference",
    "generated": "generated",
    "score": "unseen",
    "depth": "depth",
}
"""Part of a reading that an input is made from; of the others, the options."""
Columns = Mapping[str, Any]


def inputs_of(
    metric: UnlearningMetric, reading: Reading, gold: Reading, before: Reading
) -> list[Any]:
    """What the metric needs, in its order; the first table that has all of it gives it."""
    for names, table in _TABLES:
        if set(metric.needs) <= names and _is_for(metric, table):
            columns = table(reading, gold, before)
            return [columns[name] for name in metric.needs]
    raise UserError(f"{metric.registered_name}: no table has {', '.join(metric.needs)}")


def parts_of(metric: UnlearningMetric, reading: Reading) -> set[str]:
    """Parts of a reading that the metric is made from."""
    found = {_PARTS.get(name, "") for name in metric.needs} - {""}
    options = {"nll", "nll_wrong", "nll_invented", "logps", "true", "false", "chosen",
               "moved_true", "moved_invented", "truth_ratio"}  # fmt: skip
    if "sequence" not in metric.needs and options & set(metric.needs):
        found = (found - {"tokens"}) | {"options"}
    if {"answer_nll", "answer_tokens"} & set(metric.keys):
        found = {"generated", "said"}
    if "rougeL_f1" in metric.needs:
        found.add("generated")
    if "score" in metric.needs:
        found.add("tokens")
    return found & reading["cost"].keys()


def names_known() -> frozenset[str]:
    """All inputs that a metric can have."""
    return frozenset(name for names, _ in _TABLES for name in names)


def score_of(reading: Reading) -> tuple[list[float], list[float]]:
    """A membership attack's scores of the facts and of unseen ones."""
    return _scores(reading["tokens"]), _scores(reading["unseen"])


def _rows(reading: Reading) -> list[Fact]:
    return [data.facts()[i] for i in reading.get("rows", range(data.FACTS))]


def _of_tokens(reading: Reading, gold: Reading, before: Reading) -> Columns:
    tokens = reading["tokens"]
    logps, sequence, count = flat(tokens["logps"])
    return {
        "logps": logps,
        "correct": flat(tokens["correct"])[0].bool(),
        "standardised": flat(tokens["standardised"])[0],
        "kl": flat(tokens["kl"])[0],
        "sequence": sequence,
        "sequences": count,
        "texts": [fact.wordings[0]["response"] for fact in _rows(reading)],
    }


def _of_said(reading: Reading, gold: Reading, before: Reading) -> Columns:
    logps, sequence, count = flat(reading["said"])
    return {"logps": logps, "sequence": sequence.long(), "sequences": count}


def _of_rows(reading: Reading, gold: Reading, before: Reading) -> Columns:
    rows, said = _rows(reading), reading["generated"]
    answers = [fact.wordings[0]["response"] for fact in rows]
    return _Columns(
        generated=lambda: said,
        reference=lambda: answers,
        answers=lambda: [[a, fact.paraphrase] for a, fact in zip(answers, rows, strict=True)],
        record=lambda: _records(rows),
        nll=lambda: _losses(reading)[:, 0],
        nll_wrong=lambda: _losses(reading)[:, 1:],
        nll_invented=lambda: _losses(reading)[:, 1],
        moved_true=lambda: (_losses(reading) - _losses(before))[:, 0].tolist(),
        moved_invented=lambda: (_losses(reading) - _losses(before))[:, 1].tolist(),
        rougeL_f1=lambda: _overlap(said, answers),
        rougeL_f1_invented=lambda: _overlap(said, [f.untrue()["response"] for f in rows]),
        truth_ratio=lambda: _ratios(reading),
        gold_truth_ratio=lambda: _ratios(gold),
        depth=lambda: reading["depth"],
    )


class _Columns(Mapping[str, Any]):
    """Inputs that are made when they are asked for."""

    def __init__(self, **made: Callable[[], Any]) -> None:
        self._made = made

    def __getitem__(self, name: str) -> Any:
        return self._made[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


def _overlap(said: Sequence[str], true: Sequence[str]) -> list[float]:
    return [rouge(one, two).f1 for one, two in zip(said, true, strict=True)]


def _of_values(reading: Reading, gold: Reading, before: Reading) -> Columns:
    rows = _rows(reading)
    return {
        "generated": reading["generated"],
        "reference": [fact.value for fact in rows],
        "record": _records(rows),
    }


def _records(rows: Sequence[Fact]) -> list[int]:
    """The number of each fact's author."""
    authors = list(dict.fromkeys(fact.author for fact in rows))
    return [authors.index(fact.author) for fact in rows]


def _of_choices(reading: Reading, gold: Reading, before: Reading) -> Columns:
    logps = _options(reading)
    return {
        "logps": logps.tolist(),
        "answer": [0] * len(logps),
        "chosen": logps.argmax(1).tolist(),
        "true": logps[:, :1].tolist(),
        "false": logps[:, 1:].tolist(),
    }


def _of_sets(reading: Reading, gold: Reading, before: Reading) -> Columns:
    forget, unseen = score_of(reading)
    is_forget = [1.0] * len(forget) + [0.0] * len(unseen)
    return {"score": forget + unseen, "is_forget": is_forget}


def _scores(tokens: Mapping[str, Sequence[Sequence[float]]]) -> list[float]:
    return membership.min_k(*flat(tokens["logps"]), MIN_K).tolist()


def _options(reading: Reading) -> torch.Tensor:
    """``[S, K]`` log-probabilities of the true paraphrase and the wrong ones."""
    return torch.tensor(reading["options"]).view(len(reading["generated"]), -1)


def _losses(reading: Reading) -> torch.Tensor:
    """``[S, K]`` nats per token of them."""
    options = _options(reading)
    return -options / torch.tensor(reading["lengths"]).view_as(options)


def _ratios(reading: Reading) -> list[float]:
    losses = _losses(reading)
    return truth_ratio(losses[:, 0], losses[:, 1:]).tolist()


Table = Callable[[Reading, Reading, Reading], Columns]
_TABLES: tuple[tuple[frozenset[str], Table], ...] = (
    (
        frozenset({"logps", "correct", "standardised", "kl", "sequence", "sequences", "texts"}),
        _of_tokens,
    ),
    (frozenset({"logps", "sequence", "sequences"}), _of_said),
    (frozenset({"generated", "reference", "record"}), _of_values),
    (
        frozenset({"generated", "reference", "answers", "record", "nll", "nll_wrong",
                   "nll_invented", "moved_true", "moved_invented", "rougeL_f1",
                   "rougeL_f1_invented", "truth_ratio", "gold_truth_ratio", "depth"}),
        _of_rows,
    ),
    (frozenset({"logps", "answer", "chosen", "true", "false"}), _of_choices),
    (frozenset({"score", "is_forget"}), _of_sets),
)  # fmt: skip


def _is_for(metric: UnlearningMetric, table: Table) -> bool:
    """Whether a table is meant where two have the inputs: of texts, values, generated tokens."""
    of_values = type(metric).__module__ == "unlearnkit.metrics.fields"
    of_said = metric.registered_name == "answer_perplexity"
    return (table is _of_values) == of_values and (table is _of_said) == of_said
