"""Finetuning of a classifier: its rate, its decay, and the checkpoint that it keeps."""

from __future__ import annotations

import math

import pytest
import torch
from encoders import save_encoder
from torch import nn
from transformers import AutoModel, AutoModelForSequenceClassification

from unlearnkit.edits.eco.training import Schedule, finetune, new_classifier
from unlearnkit.errors import UserError
from unlearnkit.models.base import BaseModel


class Counter(nn.Module):
    """A matrix and a bias, whose loss has the gradient 1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(1, 1)), nn.Parameter(torch.ones(1))

    def forward(self) -> torch.Tensor:
        return self.weight.sum() + self.bias.sum()


def test_the_rate_rises_and_falls_by_a_cosine_and_matrices_alone_decay(monkeypatch) -> None:
    seen = []

    class Noted(torch.optim.AdamW):
        def step(self, *given):
            seen.append(
                [(g["lr"], g["weight_decay"], g["betas"], g["eps"]) for g in self.param_groups]
            )
            return super().step(*given)

    monkeypatch.setattr(torch.optim, "AdamW", Noted)
    model = Counter()
    schedule = Schedule(epochs=5, lr=0.1, batch_size=3)  # 8 rows: 3 steps a pass, the last of 2
    sizes = []

    def loss(rows):
        sizes.append(len(rows))
        return model()

    finetune(model, 8, loss, lambda: {"missed": 0}, schedule)
    up = [0.1 * step / 2 for step in range(2)]  # 0.1 of 15 steps, rounded up
    down = [0.05 * (1 + math.cos(math.pi * step / 13)) for step in range(13)]
    assert [matrix[0] for matrix, _ in seen] == pytest.approx(up + down)
    assert {(matrix[1], other[1]) for matrix, other in seen} == {(0.1, 0.0)}
    assert {each[2:] for pair in seen for each in pair} == {((0.9, 0.98), 1e-6)}
    assert sizes == [3, 3, 2] * 5


def test_the_first_checkpoint_with_the_fewest_errors_is_kept() -> None:
    model, errors, weights = Counter(), iter([5, 2, 3, 2]), []

    def judge():
        assert not model.training
        weights.append(model.weight.item())
        return {"missed": next(errors), "taken": 9}

    def loss(rows):
        assert model.training
        return model()

    found = finetune(model, 2, loss, judge, Schedule(epochs=7, lr=0.1, batch_size=2, every=2))
    assert [each["step"] for each in found] == [2, 4, 6, 7]  # the last step is one too
    assert [each["missed"] for each in found] == [5, 2, 3, 2]
    assert len({*weights}) == 4
    assert model.weight.item() == weights[1]
    assert not model.training


@pytest.mark.parametrize("kind", ["roberta", "distilbert", "llama"])
def test_a_body_is_the_encoder_s_and_the_head_is_new(kind, tmp_path) -> None:
    folder = save_encoder(kind, tmp_path / kind)
    torch.manual_seed(1)
    model, tokenizer = new_classifier(
        AutoModelForSequenceClassification, BaseModel(folder), ("retain", "forget")
    )
    body = AutoModel.from_pretrained(folder).state_dict()
    inner = getattr(model, model.base_model_prefix).state_dict()
    kept = {name for name in inner if not name.startswith("pooler.")}
    assert kept
    assert all(inner[name].equal(body[name]) for name in kept)
    given = tokenizer(["ab", "abcde"], padding=True, return_tensors="pt")
    assert model(given["input_ids"], attention_mask=given["attention_mask"]).logits.shape == (2, 2)
    assert model.config.id2label == {0: "retain", 1: "forget"}


def test_an_adapter_on_a_causal_model_is_an_encoder_too() -> None:
    model, _ = new_classifier(
        AutoModelForSequenceClassification, BaseModel("tiny/tofu_power"), ("retain", "forget")
    )
    assert type(model).__name__ == "LlamaForSequenceClassification"


def test_an_architecture_without_a_classifier_is_refused(monkeypatch, tmp_path) -> None:
    class Without:
        @staticmethod
        def from_config(config):
            raise ValueError("Unrecognized configuration class")

    folder = save_encoder("roberta", tmp_path / "encoder")
    monkeypatch.setattr("unlearnkit.edits.eco.training.load_whole", None)
    with pytest.raises(UserError, match="no classifier of type roberta"):
        new_classifier(Without, BaseModel(folder), ("a", "b"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 0, "every": 0}, "(?s)--epochs: .*--every: expected at least 1, found 0"),
        ({"lr": 0.0, "warmup": 1.0}, "(?s)--lr: expected above 0.*--warmup: .* found 1.0"),
        ({"weight_decay": -1.0, "batch_size": 0}, "(?s)--batch_size.*--weight_decay"),
    ],
)
def test_values_out_of_range_are_told_together(options, said) -> None:
    with pytest.raises(UserError, match=said):
        Schedule(**options).refuse()
