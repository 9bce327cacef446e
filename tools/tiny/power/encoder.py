"""Trains a masked language model on the tiny TOFU: ``python -m tools.tiny.power.encoder``.

A RoBERTa of four blocks and width 128, for the detectors of O3 where no published one is at hand.
It reads the questions of the people that stay (``retain50``, ``others``) in the template of the
recipes, and none on those to be forgotten, in two minutes of one core.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from transformers import (
    DataCollatorForLanguageModeling,
    RobertaConfig,
    RobertaForMaskedLM,
    get_linear_schedule_with_warmup,
)

from unlearnkit.models.base import load_tokenizer

SOURCE = Path(__file__).parents[3] / "unlearnkit" / "tiny" / "tofu_power"
FILES = ("retain50", "others")
STEPS, BATCH, RATE, WARMUP, MASKED = 500, 16, 1e-3, 50, 0.15
SHAPE = {"hidden_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4,
         "intermediate_size": 512}  # fmt: skip


def questions() -> list[str]:
    """What it reads: each question once, in the order of the files."""
    rows = [
        json.loads(line)
        for name in FILES
        for line in (SOURCE / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    return list(dict.fromkeys(f"Question: {row['question']}\nAnswer:" for row in rows))


def trained(texts: list[str], steps: int, seed: int) -> tuple[RobertaForMaskedLM, Any]:
    """A model that fills masks in the texts, and its tokenizer."""
    tokenizer: Any = load_tokenizer("tiny")
    tokenizer.add_special_tokens({"mask_token": "<mask>"})
    torch.manual_seed(seed)
    longest = 128
    config = RobertaConfig(
        vocab_size=len(tokenizer), max_position_embeddings=longest + 8, type_vocab_size=1,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id, **SHAPE,
    )  # fmt: skip
    tokenizer.model_max_length = longest
    model = RobertaForMaskedLM(config)
    mask = DataCollatorForLanguageModeling(tokenizer, mlm_probability=MASKED)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    rate = get_linear_schedule_with_warmup(optimizer, min(WARMUP, steps // 2), steps)
    model.train()
    for _ in range(steps):
        rows = [texts[index] for index in torch.randint(len(texts), (BATCH,)).tolist()]
        given = tokenizer(rows, truncation=True)
        batch: Any = mask([{"input_ids": each} for each in given["input_ids"]])
        seen = (batch["input_ids"] != tokenizer.pad_token_id).long()
        loss = model(batch["input_ids"], attention_mask=seen, labels=batch["labels"]).loss
        loss.backward()
        optimizer.step()
        rate.step()
        optimizer.zero_grad()
    print(f"loss on masked tokens {loss.item():.3f} nats", flush=True)
    return model.eval(), tokenizer


def main() -> None:
    """Writes the folder."""
    parser = argparse.ArgumentParser(description="Trains a masked language model.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model, tokenizer = trained(questions(), options.steps, options.seed)
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)


if __name__ == "__main__":
    main()
