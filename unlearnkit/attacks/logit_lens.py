"""Reads the answer out of each decoder block by the model's head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unlearnkit.attacks.base import Attack, Curve, Target, check_limit
from unlearnkit.attacks.measuring import notes_on
from unlearnkit.data.example import Example
from unlearnkit.data.pack import Batch, pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.generation.generate import device_of
from unlearnkit.engine.generation.sampling import on_device
from unlearnkit.engine.step.head import Head
from unlearnkit.engine.step.states import block_states, final_norm
from unlearnkit.functional.core import at_least_float32, row_mean
from unlearnkit.functional.text import rouge
from unlearnkit.functional.tofu import probability
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model
from unlearnkit.models.modes import evaluating
from unlearnkit.plain import spaced
from unlearnkit.suites.parts.continuations import text_of
from unlearnkit.suites.parts.measured import known, mean_of

NAME = "logit_lens"


class LogitLens(Attack, name=NAME):
    """Read the true answer out of each decoder block, by the final norm and the head.

    Unlearning that only stops the last blocks from saying what earlier ones still know shows as
    a curve that rises and falls again. Each token is predicted from the true ones before it. A
    curve has one mapping per decoder block, from 0: ``layer``, ``forget/probability``
    (length-normalised), ``forget/rougeL_recall`` of the likeliest tokens, and
    ``forget/exact_memorization``, mean over rows. The last block's are the model's own.

    Args:
        limit: Rows measured at most, evenly spaced.

    References:
        nostalgebraist 2020, "Interpreting GPT: the logit lens"; Patil et al. 2024,
        arXiv 2309.17410, sec. 3, for the attack; Lynch et al. 2024, arXiv 2402.16835.
    """

    def __init__(self, limit: int = 32) -> None:
        self.limit = check_limit(limit)

    def prepare(self, target: Target) -> list[Example]:
        """Evenly spaced rows."""
        return spaced(target.examples, self.limit)

    def notes(self, rows: Sequence[Example], target: Target) -> list[str]:
        """Rows that are cut, or have no word."""
        return notes_on({"forget": rows}, target, generated=False)

    def run(self, base: str | BaseModel, rows: Sequence[Example], target: Target) -> Curve:
        """Measures every decoder block.

        Raises:
            UserError: If the model's final norm is not found.
        """
        model = on_device(load_model(base))
        per_layer: list[list[dict[str, float | None]]] = []
        with torch.no_grad(), evaluating(model):
            head, norm = Head(model), final_norm(model, NAME)
            for start in range(0, len(rows), target.context.batch_size):
                some = rows[start : start + target.context.batch_size]
                batch = pack({"probe": StreamBatch(tuple(some), 1.0, 1.0)}, "rows")
                batch = batch.to(device_of(model))
                for layer, states in enumerate(block_states(model, batch, norm, NAME)):
                    if layer == len(per_layer):
                        per_layer.append([])
                    per_layer[layer] += _rows(head, norm(states), batch, target.tokenizer, some)
        return [
            {
                "layer": layer,
                **{f"forget/{name}": mean_of(found, name) for name in found[0]},
            }
            for layer, found in enumerate(per_layer)
        ]


def _rows(
    head: Head, states: Tensor, batch: Batch, tokenizer: Any, examples: Sequence[Example]
) -> list[dict[str, float | None]]:
    logps: list[Tensor] = []
    chosen: list[Tensor] = []
    for some, target in zip(
        states.split(head.chunk_tokens), batch.target.split(head.chunk_tokens), strict=True
    ):
        logits = at_least_float32(head.logits(some))
        logps.append(logits.log_softmax(-1).gather(1, target[:, None])[:, 0])
        chosen.append(logits.argmax(-1))
    said = torch.cat(chosen)
    flat = (batch.sequence, len(examples))
    likely = probability(-row_mean(torch.cat(logps), *flat)).tolist()
    exact = row_mean((said == batch.target).float(), *flat).tolist()
    lengths = [len(example.response_ids) for example in examples]
    texts = [text_of(tokenizer, ids.tolist()) for ids in said.split(lengths)]
    return [
        {
            "probability": likely[i],
            "rougeL_recall": known(
                rouge(texts[i], text_of(tokenizer, example.response_ids)).recall
            ),
            "exact_memorization": exact[i],
        }
        for i, example in enumerate(examples)
    ]
