"""Reads folders of stored metric values, and compares computed values with them.

A folder holds ``metrics.json`` (values), ``inputs.json`` (token ids and texts) and ``models``
(a target and a reference model, and their tokenizer).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from unlearnkit.data.example import Example
from unlearnkit.engine.generation.generate import Generation, generate
from unlearnkit.engine.generation.scoring import TokenScores, score
from unlearnkit.functional import membership

REL = 1e-5
EXACT = re.compile(r"auc|auroc")


@dataclass(frozen=True)
class Case:
    """One stored value."""

    folder: Path
    metric: str
    name: str
    dtype: torch.dtype
    inputs: str
    params: dict[str, Any]
    expected: Any
    abs_tol: float
    """For scores near zero, where the metric's record gives one."""

    @property
    def label(self) -> str:
        return f"{self.metric}-{self.name}-{'64' if self.dtype == torch.float64 else '32'}"


def read_cases(folder: Path) -> list[Case]:
    """All cases of a folder; those measured on a float64 model too come twice."""
    cases: list[Case] = []
    for metric, record in read_json(folder / "metrics.json")["metrics"].items():
        loose = float(record.get("tolerance", {}).get("abs_float32", 0.0))
        for name, case in record["cases"].items():
            given = (folder, metric, name)
            stated = (case["inputs"], case.get("params") or {})
            cases.append(Case(*given, torch.float32, *stated, case["value"], loose))
            if "value_f64model" in case:
                cases.append(Case(*given, torch.float64, *stated, case["value_f64model"], 0.0))
    return cases


@cache
def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


@cache
def load(folder: Path, name: str, dtype: torch.dtype) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder / "models" / name, dtype=dtype)


@cache
def load_tokenizer(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder / "models" / "tokenizer")


class World:
    """What an adapter computes from: the case's inputs, models and tokenizer."""

    def __init__(self, case: Case) -> None:
        self.case, self.params = case, case.params
        self.tokenizer = load_tokenizer(case.folder)
        self.data = read_json(case.folder / "inputs.json")

    def pointers(self) -> list[str]:
        """JSON pointers in the case's ``inputs``, such as ``/string_pairs[sp01]``."""
        return re.findall(r"inputs\.json#(/[\w/.]+(?:\[[^\]]+\])?)", self.case.inputs)

    def given(self, pointer: str | None = None) -> Any:
        """What a pointer stands for; by default the case's first."""
        path, _, item = (pointer or self.pointers()[0]).partition("[")
        found = self.data
        for part in path.strip("/").split("/"):
            found = found[part]
        if not item:
            return found
        wanted = item.rstrip("]")
        if wanted.isdigit():
            return found[int(wanted)]
        if ":" in wanted:
            return found[slice(*(int(each) if each else None for each in wanted.split(":")))]
        return next(each for each in found if each["id"] == wanted)

    def section(self) -> str:
        """Name of the first input."""
        return re.split(r"[/\[]", self.pointers()[0].strip("/"))[0]

    def model(self, name: str = "target") -> Any:
        return load(self.case.folder, name, self.case.dtype)

    def texts(self, rows: Sequence[dict[str, Any]]) -> list[Example]:
        """Token ids of whole texts, of which the first is not scored."""
        return [as_example(row["input_ids"][:1], row["input_ids"][1:]) for row in rows]

    def answers(self, rows: Sequence[dict[str, Any]], field: str) -> list[Example]:
        """Prompts with the answers of a field, all answers of a row after one another."""
        return [
            as_example(row["prompt_ids"], ids)
            for row in rows
            for ids in (row[field] if isinstance(row[field][0], list) else [row[field]])
        ]

    def scores(self, examples: Sequence[Example], model: str = "target") -> TokenScores:
        return score(self.model(model), examples, batch_size=8, standardised=True)

    def nll(self, examples: Sequence[Example], model: str = "target") -> Tensor:
        """Nats per token of each example."""
        found = self.scores(examples, model)
        return membership.loss(found.logps, found.sequence, found.sequences)

    def answer_nll(self, section: str, field: str, model: str = "target") -> Tensor:
        """Nats per token: ``[S]``, or ``[S, K]`` where each row has K answers."""
        rows = self.data[section]
        nll = self.nll(self.answers(rows, field), model)
        return nll.reshape(len(rows), -1) if isinstance(rows[0][field][0], list) else nll

    def continuations(
        self, prompts: Sequence[Sequence[int]], limit: int, stop: Sequence[str] = ()
    ) -> list[Generation]:
        return generate(
            self.model(),
            self.tokenizer,
            prompts,
            max_new_tokens=limit,
            batch_size=4,
            stop=stop,
        )

    def decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)


def as_example(prompt: Sequence[int], response: Sequence[int]) -> Example:
    return Example(tuple(prompt), tuple(response), 0, "golden")


def differences(found: Any, expected: Any, abs_tol: float, path: str = "value") -> list[str]:
    """Where a computed value is not the stored one; AUCs must agree to the last digit or so."""
    if isinstance(expected, dict):
        missing = [f"{path}.{key}: not computed" for key in expected if key not in found]
        return missing + [
            line
            for key in expected
            if key in found
            for line in differences(found[key], expected[key], abs_tol, f"{path}.{key}")
        ]
    if isinstance(expected, list):
        if len(found) != len(expected):
            return [f"{path}: {len(found)} items, expected {len(expected)}"]
        return [
            line
            for i, (one, other) in enumerate(zip(found, expected, strict=True))
            for line in differences(one, other, abs_tol, f"{path}[{i}]")
        ]
    if isinstance(expected, str):
        same = found == expected
    elif expected is None:
        same = found is None or math.isnan(found)
    elif EXACT.search(path):
        same = found == pytest.approx(expected, rel=1e-14, abs=0)
    else:
        same = found == pytest.approx(expected, rel=REL, abs=abs_tol)
    return [] if same else [f"{path}: {found!r}, expected {expected!r}"]
