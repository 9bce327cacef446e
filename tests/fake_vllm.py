"""A stand-in for vLLM: records calls, and generates with transformers."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoModelForCausalLM

VERSION = "0.99.1"
calls: list[dict[str, Any]] = []
"""What was asked for since the list was emptied: engines, then rows."""


class SamplingParams:
    """Keeps what it was given; of an unknown name it says so, as vLLM does."""

    def __init__(
        self, *, temperature: float, top_p: float, top_k: int, max_tokens: int,
        stop_token_ids: list[int], seed: int | None, detokenize: bool,
    ) -> None:  # fmt: skip
        self.__dict__.update({k: v for k, v in locals().items() if k != "self"})


class LLM:
    """Continues greedily, a row at a time, and leaves the end token in its ids."""

    def __init__(
        self, *, model: str, revision: str | None, dtype: str, trust_remote_code: bool,
        skip_tokenizer_init: bool, generation_config: str, max_model_len: int, seed: int,
        gpu_memory_utilization: float = 0.9,
    ) -> None:  # fmt: skip
        calls.append({"engine": model, "max_model_len": max_model_len, "dtype": dtype})
        assert skip_tokenizer_init
        assert generation_config == "vllm"
        self.model = AutoModelForCausalLM.from_pretrained(model, dtype=dtype).eval()

    @torch.no_grad()
    def generate(self, prompts: list[Any], params: list[Any], *, use_tqdm: bool) -> list[Any]:
        calls.append({"prompts": prompts, "params": [vars(each) for each in params]})
        assert not use_tqdm
        found = [self._row(p["prompt_token_ids"], s) for p, s in zip(prompts, params, strict=True)]
        return [SimpleNamespace(outputs=[each]) for each in found]

    def _row(self, ids: list[int], params: Any) -> SimpleNamespace:
        new: list[int] = []
        while len(new) < params.max_tokens:
            logits = self.model(torch.tensor([[*ids, *new]])).logits[0, -1]
            new.append(int(logits.argmax()))
            if new[-1] in params.stop_token_ids:
                return SimpleNamespace(token_ids=new, finish_reason="stop", stop_reason=new[-1])
        return SimpleNamespace(token_ids=new, finish_reason="length", stop_reason=None)


def install(folder: Path, monkeypatch: Any) -> list[dict[str, Any]]:
    """Puts it where ``import vllm`` finds it, with a version; gives the list of calls."""
    (folder / "vllm").mkdir(parents=True)
    (folder / "vllm/__init__.py").write_text("from fake_vllm import LLM, SamplingParams\n")
    (folder / f"vllm-{VERSION}.dist-info").mkdir()
    told = f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}\n"
    (folder / f"vllm-{VERSION}.dist-info/METADATA").write_text(told)
    monkeypatch.syspath_prepend(str(folder))
    module = import_module("vllm")
    del sys.modules["vllm"]
    monkeypatch.setitem(sys.modules, "vllm", module)  # and not for later tests
    calls.clear()
    return calls
