"""A model spread over two processes by transformers' plan says what one process says."""

from __future__ import annotations

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from processes import PATIENCE, run_ranks
from stub import stub_tokenizer
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.distributed import DistributedConfig

from unlearnkit.data.example import Example
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import score

pytestmark = [pytest.mark.slow, pytest.mark.ranks]

PROMPTS = [(4 + n % 4,) * (1 + n % 5) for n in range(8)]
EXAMPLES = [Example(ids, (5, 6, 3)[n % 2 :], n, f"a:{n}") for n, ids in enumerate(PROMPTS)]


def _said(model: Any) -> dict[str, Any]:
    answers = generate(model, stub_tokenizer(), PROMPTS, max_new_tokens=7, batch_size=3)
    logps = score(model, EXAMPLES, batch_size=4).logps
    return {"ids": [list(each.ids) for each in answers], "logps": logps.tolist()}


def _spread(folder: str) -> None:
    """Prints what a rank's part of the model says, and how much of the weights it holds."""
    rank = int(os.environ["LOCAL_RANK"])
    os.environ["RANK"] = str(rank)
    dist.init_process_group("gloo", rank=rank, world_size=2, timeout=timedelta(seconds=PATIENCE))
    plan = DistributedConfig(tp_plan="auto")
    model = AutoModelForCausalLM.from_pretrained(folder, distributed_config=plan).eval()
    held = sum(getattr(w, "to_local", lambda w=w: w)().numel() for w in model.parameters())
    print(json.dumps({"held": held, **_said(model)}))
    dist.destroy_process_group()


def test_generation_and_scores_of_a_spread_model_are_those_of_one_process(tmp_path: Path) -> None:
    torch.manual_seed(0)
    size = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    vocabulary = len(stub_tokenizer())
    model = LlamaForCausalLM(LlamaConfig(vocab_size=vocabulary, **size, **heads)).eval()
    model.save_pretrained(tmp_path)
    alone, whole = _said(model), sum(w.numel() for w in model.parameters())
    for done in run_ranks(2, _spread, str(tmp_path)):
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout.splitlines()[-1])
        assert found["ids"] == alone["ids"]
        gaps = torch.tensor(found["logps"]) - torch.tensor(alone["logps"])
        assert gaps.abs().max() < 1e-5
        assert found["held"] < 0.75 * whole
