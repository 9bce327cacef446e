"""Searches a prompt suffix by the gradient of its tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from unlearnkit.attacks.base import Attack, Curve, Target, check_limit
from unlearnkit.attacks.measuring import Split, measured, notes_on, split_rows
from unlearnkit.data.example import Example
from unlearnkit.engine.generation.sampling import on_device
from unlearnkit.errors import UserError
from unlearnkit.functional.core import at_least_float32
from unlearnkit.models.base import BaseModel
from unlearnkit.models.composite.base import CompositeConfig
from unlearnkit.models.load import load_model
from unlearnkit.models.modes import evaluating

_IGNORED = -100


class GCG(Attack, name="gcg"):
    """Search a prompt suffix by gradient that brings some answers back, and ask the others with it.

    One suffix for all ``rows``, whose answers the attacker holds: each step takes, for each place,
    the tokens that the gradient of the answers' loss favours, tries ``candidates`` single swaps and
    keeps the best, if it is better. Where no suffix is better than none, none is asked with. The
    suffix stands right before the answer, so behind what a chat template puts there.

    A curve has two mappings: ``steps`` of the search, ``loss`` of the attacker's rows, and
    ``forget/<metric>`` over forget rows that the attacker did not see. The first is without a
    suffix.

    Args:
        rows: Forget rows whose answers the attacker holds.
        steps: Steps of the search.
        length: Tokens of the suffix, behind the prompt.
        candidates: Swaps that are tried in a step.
        top: Tokens a place from which swaps are drawn.
        tokens: Tokens of each answer that count.
        limit: Rows measured at most, evenly spaced.
        seed: Of rows, first suffix and swaps.

    References:
        Zou et al. 2023, "Universal and transferable adversarial attacks on aligned language
        models" (GCG), arXiv 2307.15043, algorithms 1 and 2, with 500 steps, 20 tokens, 512
        candidates of the top 256. The budget here is small.
    """

    def __init__(
        self,
        rows: int = 4,
        steps: int = 20,
        length: int = 8,
        candidates: int = 32,
        top: int = 64,
        tokens: int = 16,
        limit: int = 16,
        seed: int = 0,
    ) -> None:
        sizes = {
            "steps": steps, "length": length, "candidates": candidates, "top": top,
            "tokens": tokens,
        }  # fmt: skip
        wrong = [f"--{key}: expected 1 or more, found {n}" for key, n in sizes.items() if n < 1]
        if wrong:
            raise UserError("\n".join(wrong), title="usage")
        self.rows, self.limit, self.seed = rows, check_limit(limit), seed
        self.steps, self.length, self.tokens = steps, length, tokens
        self.candidates, self.top = candidates, top

    def prepare(self, target: Target) -> Split:
        """Draws the rows that the attacker holds, and those that are measured.

        Raises:
            UserError: If no other row would be left.
        """
        return split_rows(target.examples, self.rows, self.limit, self.seed)

    def notes(self, rows: Split, target: Target) -> list[str]:
        """Rows that are cut, or have no word."""
        return notes_on({"forget": rows.others}, target)

    def run(self, base: str | BaseModel, rows: Split, target: Target) -> Curve:
        """Searches on the attacker's rows, and measures the others with what was found.

        Raises:
            UserError: For a model without embeddings of its own.
        """
        model: Any = on_device(load_model(base))
        if isinstance(model.config, CompositeConfig):
            raise UserError(
                "gcg follows the gradient into the model's embeddings, and a model made of models "
                "has several",
                hint="Attack one of its parts, or take prefix or sample.",
            )
        model.requires_grad_(False)
        with evaluating(model):
            allowed = _allowed(target, model.get_input_embeddings().weight)
            first, suffix, last = self._searched(model, rows.held, allowed)
        curve: Curve = []
        for steps, loss, added in ((0, first, ()), (self.steps, last, suffix)):
            asked = [e._replace(prompt_ids=(*e.prompt_ids, *added)) for e in rows.others]
            values = measured(model, target.tokenizer, asked, target.context)
            curve.append({"steps": steps, "loss": loss, **values})
        return curve

    def _searched(
        self, model: Any, rows: Sequence[Example], allowed: Tensor
    ) -> tuple[float, tuple[int, ...], float]:
        """Loss without a suffix, the best suffix, and its loss."""
        generator = torch.Generator().manual_seed(self.seed)
        numbers = allowed.nonzero()[:, 0].cpu()
        drawn = torch.randint(len(numbers), (self.length,), generator=generator)
        suffix = numbers[drawn]
        first, best = self._loss(model, rows, suffix[:0]), self._loss(model, rows, suffix)
        for _ in range(self.steps):
            slopes = self._slopes(model, rows, suffix).masked_fill(~allowed, torch.inf)
            near = slopes.topk(min(self.top, len(numbers)), largest=False).indices.cpu()
            tried = [suffix]
            for place in torch.randint(self.length, (self.candidates,), generator=generator):
                choice = torch.randint(near.shape[1], (), generator=generator)
                swapped = suffix.clone()
                swapped[place] = near[place, choice]
                tried.append(swapped)
            losses = [best, *(self._loss(model, rows, each) for each in tried[1:])]
            best = min(losses)
            suffix = tried[losses.index(best)]
        if best >= first:
            return first, (), first  # an attacker asks without what only does harm
        return first, tuple(suffix.tolist()), best

    @torch.no_grad()
    def _loss(self, model: Any, rows: Sequence[Example], suffix: Tensor) -> float:
        ids, labels, mask, _ = self._batch(model, rows, suffix)
        return _nll(
            model(input_ids=ids, attention_mask=mask, use_cache=False).logits, labels
        ).item()

    def _slopes(self, model: Any, rows: Sequence[Example], suffix: Tensor) -> Tensor:
        """``[length, V]`` gradient of the loss by each place's one-hot token."""
        ids, labels, mask, begins = self._batch(model, rows, suffix)
        embed = model.get_input_embeddings()
        weight = embed.weight
        chosen = torch.zeros(len(suffix), len(weight), dtype=weight.dtype, device=weight.device)
        chosen.scatter_(1, suffix[:, None].to(weight.device), 1.0).requires_grad_()
        # What the embedding module does beside the look-up, such as a scale, is kept.
        plain = embed(ids).detach()
        looked_up = embed(suffix.to(weight.device)).detach()
        factor = (looked_up.norm() / weight[suffix.to(weight.device)].norm()).detach()
        states = (chosen @ weight) * factor
        rows_of = [
            torch.cat([row[:begin], states, row[begin + len(suffix) :]])
            for row, begin in zip(plain, begins, strict=True)
        ]
        out = model(inputs_embeds=torch.stack(rows_of), attention_mask=mask, use_cache=False)
        return torch.autograd.grad(_nll(out.logits, labels), chosen)[0]

    def _batch(
        self, model: Any, rows: Sequence[Example], suffix: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, list[int]]:
        """Ids, labels and mask ``[R, T]``, right-padded, and where the suffix begins in each."""
        ids, labels = [], []
        for each in rows:
            prompt = [*each.prompt_ids, *suffix.tolist()]
            answer = list(each.response_ids[: self.tokens])
            ids.append(prompt + answer)
            labels.append([_IGNORED] * len(prompt) + answer)
        width = max(map(len, ids))
        device = next(model.parameters()).device
        mask = [[1] * len(each) + [0] * (width - len(each)) for each in ids]
        padded = [each + [each[-1]] * (width - len(each)) for each in ids]
        wanted = [each + [_IGNORED] * (width - len(each)) for each in labels]
        made, labelled, seen = (
            torch.tensor(each, device=device) for each in (padded, wanted, mask)
        )
        return made, labelled, seen, [len(each.prompt_ids) for each in rows]


def _nll(logits: Tensor, labels: Tensor) -> Tensor:
    """Mean over the answers' tokens."""
    given = at_least_float32(logits[:, :-1].flatten(0, 1))
    return cross_entropy(given, labels[:, 1:].flatten(), ignore_index=_IGNORED)


def _allowed(target: Target, weight: Tensor) -> Tensor:
    """``[V]`` tokens that a suffix may have: none that controls, none without an embedding."""
    allowed = torch.zeros(len(weight), dtype=torch.bool, device=weight.device)
    allowed[: min(len(target.tokenizer), len(weight))] = True
    allowed[torch.tensor(target.tokenizer.all_special_ids, device=weight.device)] = False
    return allowed
