"""DDP and FSDP2 on two CPU processes train as one process does, and resume bit for bit."""

from __future__ import annotations

import json

import pytest
import torch
from processes import run_ranks
from rounding import margin, near
from rows import UNEQUAL
from strategies import main

from unlearnkit.engine.training.fsdp2 import policy_of

pytestmark = [pytest.mark.slow, pytest.mark.ranks]

STRATEGIES = ("ddp", "fsdp2")


@pytest.fixture
def start(tmp_path, written):
    """Runs a fit; gives what each rank found."""

    def run(name: str, **options):
        out = tmp_path / name
        out.mkdir()
        words = (out, written(**UNEQUAL), json.dumps({"steps": 6, **options}))
        ranks = run_ranks(options.get("devices", 1), main, *map(str, words))
        for done in ranks:
            assert done.returncode == 0, done.stderr
        run.said = [done.stderr for done in ranks]
        return [json.loads(path.read_text()) for path in sorted(out.glob("rank*.json"))]

    return run


@pytest.mark.parametrize(
    ("strategy", "options"),
    [
        ("fsdp2", {"steps": 50}),
        ("fsdp2", {"lora": True, "lr": 1.0}),
        ("fsdp2", {"tie": True, "accumulate": 2, "clip": 0.5}),
    ],
    ids=["full", "lora", "tied-accumulated-clipped"],
)
def test_two_processes_train_as_one(start, strategy, options) -> None:
    (one,) = start("one", **options)
    two = start("two", devices=2, strategy=strategy, **options)
    assert len(two) == 2
    for step, whole in enumerate(one["figures"]):
        for key in ("forget", "mismatch", "retain"):
            mean = sum(rank["figures"][step][key] for rank in two) / 2
            assert mean == near(whole[key], size=4.0)
    assert two[0]["weights"].keys() == one["weights"].keys()
    for key, weight in one["weights"].items():
        assert two[0]["weights"][key] == pytest.approx(weight, abs=1e-5)


HALF, WHOLE = "torch.bfloat16", "torch.float32"


@pytest.mark.parametrize(
    ("options", "gathered"),
    [
        ({"precision": "bf16-mixed"}, [HALF]),
        ({"precision": "bf16-mixed", "lora": True, "lr": 1.0, "dtype": "bfloat16"}, [HALF]),
        ({"lora": True, "lr": 1.0, "dtype": "bfloat16"}, [HALF, WHOLE]),
    ],
    ids=["mixed", "mixed-lora-on-bfloat16", "lora-on-bfloat16"],
)
def test_blocks_are_gathered_in_bfloat16_and_gradients_are_float32(
    start, options, gathered
) -> None:
    """Autocast then casts no weight; what is trained is that of one process but for rounding."""
    (one,) = start("one", **options)
    two = start("two", devices=2, strategy="fsdp2", **options)
    for rank in two:
        assert rank["types"] == {"weights": gathered, "states": [HALF], "gradients": [WHOLE]}
    for step, whole in enumerate(one["figures"]):
        for key in ("forget", "mismatch", "retain"):
            mean = sum(rank["figures"][step][key] for rank in two) / 2
            assert mean == pytest.approx(whole[key], abs=margin(1.0, 1, torch.bfloat16))
    moved = max(
        abs(end - begun)
        for key, weight in one["weights"].items()
        for end, begun in zip(weight, one["begun"][key], strict=True)
    )
    assert moved > 0.05
    for key, weight in one["weights"].items():
        assert two[0]["weights"][key] == pytest.approx(weight, abs=0.02 * moved)


def test_gradients_of_bfloat16_weights_are_added_up_in_float32() -> None:
    policy = policy_of("bf16-true")
    assert (policy.param_dtype, policy.reduce_dtype) == (None, torch.float32)
    assert policy_of("32-true").reduce_dtype is None


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_resume_bit_for_bit_amid_epoch_and_window(start, tmp_path, strategy) -> None:
    """Epochs of 2 micro-batches each, windows of 2; saved after the first of the third epoch."""
    path = str(tmp_path / "at.ckpt")
    options = {
        "devices": 2, "strategy": strategy, "lora": True, "dropout": 0.3, "optimizer": "AdamW",
        "lr": 1e-2, "accumulate": 2, "workers": 1,
    }  # fmt: skip
    whole = start("whole", save=path, after=5, **options)
    resumed = start("resumed", resume=path, seed=99, **options)
    for rank, again in zip(whole, resumed, strict=True):
        assert len(again["figures"]) == len(rank["figures"]) - 4
        assert again["rows"] == rank["rows"][4:]
        assert again["figures"] == rank["figures"][4:]
        assert again["weights"] == rank["weights"]


def test_an_optimizer_without_state_resumes_sharded(start, tmp_path) -> None:
    """Plain SGD keeps nothing but its learning rate, which a schedule has changed by then."""
    path = str(tmp_path / "at.ckpt")
    options = {"devices": 2, "strategy": "fsdp2"}
    whole = start("whole", save=path, after=3, **options)
    resumed = start("resumed", resume=path, seed=99, **options)
    for rank, again in zip(whole, resumed, strict=True):
        assert again["rows"] == rank["rows"][3:]
        assert again["figures"] == rank["figures"][3:]
        assert again["weights"] == rank["weights"]


@pytest.mark.parametrize(("devices", "then"), [(1, 2), (2, 1)])
def test_another_number_of_processes_is_told_and_ends_where_the_whole_run_ends(
    start, tmp_path, devices, then
) -> None:
    """Rows of a step are the same in all: one of two, or two of one."""
    path = str(tmp_path / "at.ckpt")
    options = {"optimizer": "AdamW", "lr": 1e-2}
    strategy = {1: "auto", 2: "ddp"}
    whole = start(
        "whole", save=path, after=3, devices=devices, strategy=strategy[devices], **options
    )
    resumed = start("resumed", resume=path, devices=then, strategy=strategy[then], **options)
    told = f"the checkpoint is of {devices} processes and this run has {then}: it continues with"
    assert all(f"{told} the same weights and other dropout" in said for said in start.said)
    saved = torch.load(path, weights_only=True)["state_dict"]
    for rank in resumed:
        assert len(rank["rows"]) == 3
        assert rank["begun"] == {
            key: saved[f"policy.{key}"].flatten().tolist() for key in rank["begun"]
        }
    for step in range(3):
        for name in ("forget", "retain"):
            rows = [row for rank in resumed for row in rank["rows"][step][name]]
            assert rows == [row for rank in whole for row in rank["rows"][3 + step][name]]
    for key, weight in whole[0]["weights"].items():
        assert resumed[0]["weights"][key] == near(weight, size=4.0)
