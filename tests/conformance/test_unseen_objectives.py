"""The harness on a folder it has not seen: measured here, with losses in plain torch.

One-token responses, left padding, another padding id and other hyperparameters.
"""

from __future__ import annotations

import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

# Each registers its recipes.
import golden_open_unlearning  # noqa: F401
import golden_repositories  # noqa: F401
import pytest
import torch
from golden_objectives import Record, read_records
from golden_terms import check
from plain_losses import LOSSES, Row
from torch import Tensor
from transformers import AutoModelForCausalLM

GOLDEN = Path(__file__).parent / "golden"
DIRECTION = [0.6, 0.8, *[0.0] * 30]
LLAMA, WIDE, GPT2 = "llama", "llama_v128", "gpt2"


def _batch(seed: int, lengths: list[tuple[int, int]], side: str, pad_id: int = 1) -> dict:
    """Random rows of so many prompt and response tokens."""
    draw = random.Random(seed)
    width = max(map(sum, lengths))
    batch: dict[str, Any] = {"input_ids": [], "attention_mask": [], "labels": []}
    for prompt, response in lengths:
        ids = [draw.randrange(2, 97) for _ in range(prompt + response)]
        labels = [-100] * prompt + ids[prompt:]
        fill = width - len(ids)
        for key, values, padding in (
            ("input_ids", ids, pad_id),
            ("attention_mask", [1] * len(ids), 0),
            ("labels", labels, -100),
        ):
            added = [padding] * fill
            batch[key].append(added + values if side == "left" else values + added)
    return {**batch, "padding_side": side, "pad_token_id": pad_id}


LEFT = [(3, 1), (1, 6), (5, 2)]
BATCHES = {
    "l1": _batch(1, LEFT, "left"),
    "l2": _batch(2, [(3, 4), (1, 1), (5, 3)], "left"),
    "r1": _batch(3, [(2, 4), (7, 1), (1, 1), (4, 3)], "right"),
    "zero": _batch(4, [(2, 3), (3, 1), (4, 5)], "right", pad_id=0),
    # No query has a choice here, so its gradient is zero but for rounding.
    "pairs": _batch(6, [(1, 1), (1, 1)], "right"),
    "short": _batch(5, [(2, 1), (4, 1)], "left"),
}
NLL = {"retain_loss_type": "NLL"}
CASES: list[tuple[str, str, dict[str, str], dict[str, Any]]] = [
    ("ou.GradAscent", GPT2, {"forget": "r1"}, {}),
    ("ou.GradAscent", GPT2, {"forget": "l1"}, {}),
    ("ou.GradAscent", GPT2, {"forget": "pairs"}, {}),
    ("ou.GradDiff", LLAMA, {"forget": "l1", "retain": "l2"},
     {"gamma": 0.7, "alpha": 2.5, "retain_loss_type": "KL"}),
    ("ou.GradDiff", GPT2, {"forget": "l1", "retain": "l2"},
     {"gamma": 0.7, "alpha": 2.5, "retain_loss_type": "KL"}),
    ("ou.NPO", LLAMA, {"forget": "l1", "retain": "r1"},
     {"beta": 0.3, "gamma": 0.5, "alpha": 1.7, **NLL}),
    ("ou.DPO", LLAMA, {"forget": "l1", "alternate": "l2", "retain": "r1"},
     {"beta": 0.05, "gamma": 2.0, "alpha": 0.0, **NLL}),
    ("ou.CEU", LLAMA, {"forget": "l1"}, {"ignore_first_n_answer_tokens": 2}),
    ("ou.CEU", LLAMA, {"forget": "short"}, {"ignore_first_n_answer_tokens": 1}),
    ("ou.UNDIAL", WIDE, {"forget": "l1", "retain": "r1"},
     {"beta": 4.0, "gamma": 1.5, "alpha": 0.3, **NLL}),
    ("ou.PDU", LLAMA, {"forget": "l1", "retain": "l2"},
     {"retain_loss_eps": 2.0, "dual_step_size": 3.0, "gamma": 0.5, "alpha": 4.0, **NLL}),
    ("ou.RMU", LLAMA, {"forget": "l1", "retain": "l2"},
     {"module_regex": r"model\.layers\.0", "steering_coeff": 3.0, "control_vector": "v",
      "gamma": 0.5, "alpha": 7.0, "retain_loss_type": "EMBED_DIFF"}),
    ("ihl.forget_only", LLAMA, {"forget": "l1"}, {}),
    ("simnpo.muse.simnpo_gdr", LLAMA, {"forget": "l1", "retain": "r1"},
     {"beta": 0.7, "gamma": 0.4, "npo_coeff": 0.3, "coeff": 2.0}),
    ("llm_unlearn.ga", LLAMA, {"forget": "zero"}, {}),
    ("llm_unlearn.ga", LLAMA, {"forget": "l1"}, {}),
    ("llm_unlearn.kl", LLAMA, {"retain": "l1"}, {}),
]  # fmt: skip


def _run(model: Any, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Logits, and outputs of the first block."""
    output = model(
        input_ids=torch.tensor(batch["input_ids"]),
        attention_mask=torch.tensor(batch["attention_mask"]),
        output_hidden_states=True,
    )
    return output.logits, output.hidden_states[1]


def _measure(
    objective: str, model: str, roles: dict[str, str], h: dict[str, Any], dtype: torch.dtype
) -> dict[str, float]:
    policy, reference = (
        AutoModelForCausalLM.from_pretrained(GOLDEN / "models" / name, dtype=dtype).eval()
        for name in (model, f"{model}_ref")
    )

    def rows(role: str) -> list[Row]:
        batch = BATCHES[roles[role]]
        logits, hidden = _run(policy, batch)
        with torch.no_grad():
            ref_logits, ref_hidden = _run(reference, batch)
        given = batch["input_ids"], batch["labels"]
        seen = zip(*given, logits, ref_logits, hidden, ref_hidden, strict=True)
        return [Row(*each) for each in seen]

    loss = LOSSES[objective](rows, {**h, "direction": torch.tensor(DIRECTION, dtype=dtype)})
    if loss.isnan():
        return {"loss": math.nan, "total": 0.0, "lm_head": 0.0, "q_proj_0": 0.0}
    loss.backward()
    if model == GPT2:
        query = policy.get_parameter("transformer.h.0.attn.c_attn.weight").grad[:, :32]
    else:
        query = policy.get_parameter("model.layers.0.self_attn.q_proj.weight").grad
    gradients = [p.grad.flatten() for p in policy.parameters() if p.grad is not None]
    head = policy.lm_head.weight.grad
    return {
        "loss": loss.item(),
        "total": torch.cat(gradients).norm().item(),
        "lm_head": 0.0 if head is None else head.norm().item(),
        "q_proj_0": query.norm().item(),
    }


def _record(objective: str, model: str, roles: dict[str, str], h: dict[str, Any]) -> dict:
    single, double = (
        _measure(objective, model, roles, h, dtype) for dtype in (torch.float32, torch.float64)
    )
    nan = math.isnan(single["loss"])
    return {
        "objective": objective,
        "model": model,
        "ref_model": f"{model}_ref",
        "batch": roles,
        "hyperparameters": h,
        "loss_f32": None if nan else single["loss"],
        "loss_f64": None if nan else double["loss"],
        **{f"grad_norm_{k}_f32": v for k, v in single.items() if k != "loss"},
        **{f"grad_norm_{k}": v for k, v in double.items() if k != "loss"},
        **({"nan": True} if nan else {}),
    }


@pytest.fixture(scope="module")
def unseen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unseen")
    shutil.copytree(GOLDEN / "models", folder / "models")
    stored = {"batches": BATCHES, "control_vectors": {"v": DIRECTION}}
    (folder / "batches.json").write_text(json.dumps(stored))
    records = {str(index): _record(*case) for index, case in enumerate(CASES)}
    (folder / "objectives.json").write_text(json.dumps(records))
    return folder


@pytest.fixture(params=range(len(CASES)), ids=[f"{c[0]}-{c[1]}-{min(c[2])}" for c in CASES])
def record(request: pytest.FixtureRequest, unseen: Path) -> Record:
    return read_records(unseen)[request.param]


def test_a_folder_measured_otherwise_passes(record: Record) -> None:
    wrong = check(record)
    assert not wrong, "\n".join(wrong)


def test_another_hyperparameter_is_noticed(unseen: Path) -> None:
    record = next(each for each in read_records(unseen) if each.objective == "ou.NPO")
    changed = {**record.content, "hyperparameters": {**record.hyperparameters, "beta": 0.301}}
    # Loss and three norms, in two dtypes and two layouts.
    assert len(check(Record(unseen, "changed", changed))) == 16


def test_a_loss_without_tokens_is_stored_as_nan(unseen: Path) -> None:
    (nan,) = [each for each in read_records(unseen) if each.content.get("nan")]
    assert nan.objective == "ou.CEU"
