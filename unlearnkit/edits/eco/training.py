"""Finetunes a classifier and keeps its best checkpoint."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AutoModel, get_cosine_schedule_with_warmup

from unlearnkit.errors import UserError
from unlearnkit.models.base import (
    BaseModel,
    as_base_model,
    from_pretrained_arguments,
    load_tokenizer,
)
from unlearnkit.models.composite.encoder import own_config
from unlearnkit.models.load import is_adapter, load_config, load_model
from unlearnkit.models.whole import load_whole

BETAS, EPSILON = (0.9, 0.98), 1e-6


class Schedule(NamedTuple):
    """How long and how fast a classifier is trained; the defaults are the published values."""

    epochs: int = 30
    lr: float = 2e-5
    batch_size: int = 16
    warmup: float = 0.1
    weight_decay: float = 0.1
    every: int = 1000

    def refuse(self) -> None:
        """Raises for values out of range.

        Raises:
            UserError: With each of them.
        """
        least = {"epochs": self.epochs, "batch_size": self.batch_size, "every": self.every}
        wrong = [f"--{key}: expected at least 1, found {n}" for key, n in least.items() if n < 1]
        if not self.lr > 0:
            wrong.append(f"--lr: expected above 0, found {self.lr}")
        if not 0 <= self.warmup < 1:
            wrong.append(
                f"--warmup: expected a part of the steps, from 0 to below 1, found {self.warmup}"
            )
        if not self.weight_decay >= 0:
            wrong.append(f"--weight_decay: expected 0 or more, found {self.weight_decay}")
        if wrong:
            raise UserError("\n".join(wrong))


def new_classifier(auto: Any, encoder: BaseModel, labels: Sequence[str]) -> tuple[Any, Any]:
    """A classifier whose body is an encoder's, with a new head, and its tokenizer.

    Args:
        auto: A class of transformers with ``from_config``, such as
            `AutoModelForSequenceClassification`.
        encoder: Where the encoder is; a causal language model is one too.
        labels: Names of the classes.

    Raises:
        UserError: If transformers has no such classifier of that architecture.
        RecipeError: If there is no encoder.
    """
    resolved = as_base_model(encoder)
    causal = is_adapter(resolved) or resolved.gguf_file
    _refuse_no_classifier(auto, load_config(encoder) if causal else own_config(resolved), encoder)
    if causal:
        body: Any = load_model(encoder).base_model
    else:
        given = {"use_safetensors": True, **from_pretrained_arguments(resolved)}
        # A pooler gives a classifier of its kind a begin, and is trained.
        body = load_whole(AutoModel, resolved, unread=("pooler.",), cut=True, **given)
    tokenizer: Any = copy.deepcopy(load_tokenizer(encoder))
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    config = copy.deepcopy(body.config)
    config.id2label = dict(enumerate(labels))
    config.label2id = {name: number for number, name in enumerate(labels)}
    config.pad_token_id = tokenizer.pad_token_id
    model = auto.from_config(config).float()
    inner = getattr(model, model.base_model_prefix)
    gaps = inner.load_state_dict(body.state_dict(), strict=False)
    if others := [name for name in gaps.missing_keys if not name.startswith("pooler.")]:
        raise UserError(f"--encoder: {encoder.path} lacks {', '.join(others[:5])}")
    return model, tokenizer


def _refuse_no_classifier(auto: Any, config: Any, encoder: BaseModel) -> None:
    try:
        with torch.device("meta"):
            model = auto.from_config(config)
        getattr(model, model.base_model_prefix)
    except (ValueError, AttributeError) as error:
        raise UserError(
            f"--encoder: transformers has no classifier of type {config.model_type} "
            f"({encoder.path})"
        ) from error


def finetune(
    model: Any,
    count: int,
    loss: Callable[[list[int]], Tensor],
    judge: Callable[[], dict[str, int]],
    schedule: Schedule,
) -> list[dict[str, int]]:
    """Trains a model, and leaves the weights in it with which it had the fewest errors.

    AdamW with a linear warm-up and a cosine to 0; biases and norms do not decay, gradients are not
    clipped. Order and dropout are those of torch's generator.

    Args:
        model: The classifier.
        count: Number of its rows.
        loss: Mean loss of some rows, by their numbers.
        judge: Counts; those under the first key are the errors. It is asked every so many steps,
            and at the end. Of equal checkpoints the first is kept.
        schedule: Steps and rates.

    Returns:
        What was counted, with the ``step`` of each.

    References:
        Liu et al. 2024 (ECO), arXiv 2406.07933: optimizer and schedule are those of its code.
    """
    weights = [each for each in model.parameters() if each.requires_grad]
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": schedule.weight_decay},
        {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=schedule.lr, betas=BETAS, eps=EPSILON)
    size = schedule.batch_size
    total = schedule.epochs * math.ceil(count / size)
    rate = get_cosine_schedule_with_warmup(optimizer, math.ceil(schedule.warmup * total), total)
    found: list[dict[str, int]] = []
    fewest, kept, step = math.inf, None, 0
    for _ in range(schedule.epochs):
        order = torch.randperm(count).tolist()
        for first in range(0, count, size):
            model.train()
            loss(order[first : first + size]).backward()
            optimizer.step()
            rate.step()
            optimizer.zero_grad()
            step += 1
            if step % schedule.every and step != total:
                continue
            model.eval()
            counts = judge()
            found.append({"step": step, **counts})
            errors = next(iter(counts.values()))
            if errors < fewest:
                fewest, kept = errors, copy.deepcopy(model.state_dict())
    model.eval().load_state_dict(kept)
    return found
