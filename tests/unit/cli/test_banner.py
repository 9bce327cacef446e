from __future__ import annotations

import platform
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from unlearnkit.cli import banner
from unlearnkit.cli.banner import in_parts, in_streams
from unlearnkit.runs.start import Batches, Start, Term

BATCHES = Batches(
    processes=1, batch_size=2, accumulate=4, effective_batch=8, rows_per_step={"forget": 8},
    micro_batches_per_epoch=8, steps_per_epoch=2, total_steps=4, warmup_steps=0,
)  # fmt: skip


def test_how_the_rows_of_a_step_come_about() -> None:
    assert in_parts(BATCHES) == "2 × 4 accumulated × 1 process"
    assert in_parts(replace(BATCHES, processes=2, effective_batch=16)).endswith("× 2 processes")
    assert in_parts(replace(BATCHES, effective_batch=3)).startswith("all of an epoch, fewer than")


def test_what_was_cut_stands_by_its_stream() -> None:
    assert in_streams({"forget": "1 of 2 rows", "retain": "3 of 9 rows"}) == (
        "forget 1 of 2 rows; retain 3 of 9 rows"
    )


START = Start(
    model="m", parameters=9, trained=9, reference=None, layout="packed",
    layout_reason="equal prompts are computed once", attention="varlen",
    objectives={"forget": Term("npo", 1.0, ("forget",))}, rows={"forget": 8}, cut={},
    schedule="constant", batches=BATCHES, strategy="auto", precision="32-true",
    dtype="float32", device="cpu", folder=Path("f"), ckpt_path=None,
)  # fmt: skip


def test_the_layout_stands_with_its_reason_and_the_kernel_of_packed_rows() -> None:
    told = dict(banner._lines(START))
    assert told["layout"] == "packed: equal prompts are computed once; attention by varlen"
    rows = replace(START, layout="rows", layout_reason="as asked", attention=None)
    assert dict(banner._lines(rows))["layout"] == "rows: as asked"


@pytest.mark.parametrize("native", [True, False])
def test_bfloat16_that_the_processor_has_no_instructions_for_is_told(native, monkeypatch) -> None:
    half = replace(START, dtype="bfloat16")
    mixed, on_card = replace(START, precision="bf16-mixed"), replace(half, device="cuda:0")
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: native)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    told = ["float32 is faster" in dict(banner._lines(each))["on"] for each in (half, mixed)]
    assert told == [not native, not native]
    assert not any("faster" in dict(banner._lines(each))["on"] for each in (START, on_card))
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    monkeypatch.delattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported")
    assert "faster" not in dict(banner._lines(half))["on"]
