"""Losses of a checkout of llm_unlearn, by Yao, Xu, Liu (2023).

Its three functions are imported from ``utils.py`` of the folder and weighed as its script does.
They take token id 1 for padding, so the tokenizer that they are given has its pad token there; and
one of no longest length, as the tokenizer of their model is, so that nothing is padded beyond its
batch.
"""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import DataCollatorForLanguageModeling, PreTrainedModel
from transformers.tokenization_utils_base import VERY_LARGE_INTEGER

from benchmarks.peers.rows import Frame, Pair, StepRows, Workload
from benchmarks.peers.sides import Objectives, Side

FRAME = Frame("### Question: ", "\n ### Answer:", eos=False)
PAD_ID = 1
WEIGHTS = {"forget": 0.5, "mismatch": 1.0, "retain": 1.0}


def _objectives(compat: str | None) -> Objectives:
    names = {"forget": "gradient_ascent", "mismatch": "random_mismatch", "retain": "retain_kl"}
    common = {} if compat is None else {"compat": compat}
    found = {s: {"name": name, "weight": WEIGHTS[s], **common} for s, name in names.items()}
    if compat is None:
        found["forget"]["reduction"] = "sequence_mean"
    return found


LOSSES = {"LLMU": _objectives(None), "LLMU, our compat": _objectives("llm_unlearn")}
"""Their one loss beside our formula, and beside our value of theirs."""


def theirs(folder: Path, loss: str, model: PreTrainedModel, workload: Workload) -> Side:
    """The loss of the checkout; the same whatever it is compared with.

    Raises:
        ImportError: If the checkout needs a package that is not there.
    """
    code = _utils(folder)
    reference = copy.deepcopy(model).eval()
    tokenizer: Any = copy.deepcopy(workload.tokenizer)
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(PAD_ID)
    tokenizer.model_max_length = VERY_LARGE_INTEGER
    collate = DataCollatorForLanguageModeling(tokenizer=tokenizer, mlm=False)

    def batch(pairs: list[Pair]) -> Any:
        rows = []
        for pair in pairs:
            whole = tokenizer(f"{workload.text(pair.prompt)} {pair.response}")
            start = len(tokenizer(f"{workload.text(pair.prompt)} ")["input_ids"]) - 1
            rows.append({**whole, "start_locs": start})
        return collate(rows)

    def prepare(rows: StepRows) -> tuple[Any, list[str], Any]:
        forget, retain = batch(rows.forget), batch(rows.retain)
        for name, made in (("forget", forget), ("retain", retain)):
            _check_tokens(made["input_ids"], rows, name)
        return forget, rows.answers, retain

    def total(prepared: tuple[Any, list[str], Any]) -> Tensor:
        forget, answers, retain = prepared
        terms = {
            "forget": code.get_answer_loss("ga", forget, model, device="cpu"),
            "mismatch": code.get_rand_ans_loss(
                forget, tokenizer, answers, model, K=len(answers), device="cpu"
            ),
            "retain": code.compute_kl(reference, model, retain, "cpu"),
        }
        return torch.stack([WEIGHTS[name] * term for name, term in terms.items()]).sum()

    return Side(prepare, total)


def _utils(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("llm_unlearn_utils", folder / "utils.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _check_tokens(ids: Tensor, rows: StepRows, stream: str) -> None:
    """Both sides have the same tokens, or the comparison says nothing."""
    for row, example in zip(ids.tolist(), rows.streams[stream].examples, strict=True):
        expected = [*example.prompt_ids, *example.response_ids]
        found = row[: len(expected)]
        if found != expected or set(row[len(expected) :]) - {PAD_ID}:
            raise AssertionError(f"{stream}: {found} is not {expected}")
