"""The masked language model for O3's detectors, made by a tool."""

from __future__ import annotations

import json
from pathlib import Path

import torch

import unlearnkit.tiny.tofu_power
from tools.tiny.power.encoder import questions, trained

FOLDER = Path(unlearnkit.tiny.tofu_power.__file__).parent


def test_it_reads_no_question_on_what_is_forgotten():
    read = questions()
    assert len(read) == len({*read}) > 200
    lines = (FOLDER / "forget50.jsonl").read_text(encoding="utf-8").splitlines()
    for line in lines:
        row = json.loads(line)
        for asked in (row["question"], *row["questions"]):
            assert f"Question: {asked}\nAnswer:" not in read


def test_the_seed_decides_its_weights_and_masks_are_learned():
    texts = questions()[:8]
    one, tokenizer = trained(texts, 3, seed=0)
    again, _ = trained(texts, 3, seed=0)
    other, _ = trained(texts, 3, seed=1)
    name = "roberta.encoder.layer.0.attention.self.query.weight"
    found = [each.state_dict()[name] for each in (one, again, other)]
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert tokenizer.mask_token_id == len(tokenizer) - 1 < one.config.vocab_size
    ids = tokenizer(texts[0], return_tensors="pt").input_ids
    masked = ids.clone()
    masked[0, -2] = tokenizer.mask_token_id
    longer, _ = trained(texts, 60, seed=0)
    before, after = (
        each(masked).logits.log_softmax(-1)[0, -2, ids[0, -2]] for each in (one, longer)
    )
    assert after > before
