"""The ways of computing a step that are compared."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import LoraConfig
from torch import Tensor
from torch.nn import functional as F

from benchmarks.workload import random_llama
from unlearnkit.data.encoded import EncodedRows
from unlearnkit.data.example import Example
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.reference.cached import Cached
from unlearnkit.errors import Place
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives.base import Objective

Streams = dict[str, StreamBatch]
METHOD = {"forget": "gradient_ascent", "mismatch": "random_mismatch", "retain": "retain_kl"}
NPO = {"forget": "npo", "retain": "retain_nll"}
GRADDIFF_KL = {"forget": "gradient_ascent", "retain": "retain_kl"}
LORA = LoraConfig(r=16, target_modules=["q_proj", "v_proj"])


class Step(NamedTuple):
    """A step that can be run again and again."""

    model: torch.nn.Module
    loss: Callable[[], Tensor]
    streams: Streams

    def run(self) -> Tensor:
        """Forward and backward; gradients are those of this call alone."""
        self.model.zero_grad(set_to_none=True)
        loss = self.loss()
        loss.backward()
        return loss.detach()

    def gradient(self) -> Tensor:
        """All gradients of the last run, in the order of the parameters."""
        return torch.cat([p.grad.flatten() for p in self.model.parameters() if p.grad is not None])


def ours(model: str, streams: Streams, names: dict[str, str] = METHOD, **options: Any) -> Step:
    """A step of this library."""
    objectives = {key: Objective.resolve(name)() for key, name in names.items()}
    module = UnlearningModule(objectives, **options)  # pyright: ignore
    module.use_model(random_llama(model))
    module.policy.train()
    if isinstance(module.reference, Cached):
        _fill(module.reference, module, streams["retain"])
    _move_away_from_the_reference(module)
    read = {name: streams[name] for name in names}
    batches = module.packer(read)

    def loss() -> Tensor:
        return module.loss(batches)

    return Step(module.policy, loss, read)


def straightforward(model: str, streams: Streams, names: dict[str, str] = METHOD) -> Step:
    """The same loss as one writes it down: a padded pass per stream, whole logits."""
    policy = random_llama(model).train()
    reference = copy.deepcopy(policy).eval()
    _nudge(policy)
    batches = {name: padded(streams[name].examples) for name in names}

    def loss() -> Tensor:
        total = torch.zeros(())
        for name in names:
            ids, mask, labels = batches[name]
            logits = policy(input_ids=ids, attention_mask=mask).logits.float()
            # The target moves, not the logits, whose copy would cost as much as they do.
            target = F.pad(labels[:, 1:], (0, 1), value=-100)
            seen = target != -100
            if names[name] == "retain_kl":
                with torch.no_grad():
                    ref = reference(input_ids=ids, attention_mask=mask).logits.float()
                    ref_logps = ref.log_softmax(-1)
                kl = F.kl_div(logits.log_softmax(-1), ref_logps, reduction="none", log_target=True)
                total = total + kl.sum(-1)[seen].sum() / seen.sum()
                continue
            losses = F.cross_entropy(
                logits.flatten(0, 1), target.flatten(), ignore_index=-100, reduction="none"
            ).view_as(target)
            if names[name] == "random_mismatch":
                total = total + (losses.sum(1) / seen.sum(1)).mean()
            else:
                sign = -1 if names[name] == "gradient_ascent" else 1
                total = total + sign * losses.sum() / seen.sum()
        return total

    return Step(policy, loss, {name: streams[name] for name in names})


def finetune(model: str, streams: Streams, lora: bool = False, parts: int = 1) -> Step:
    """Plain finetuning on the same sequences: right-padded batches, the model's own loss.

    Args:
        model: A key of `SHAPES`.
        streams: The sequences.
        lora: Train an adapter.
        parts: Micro-batches that run forward and backward in turn.
    """
    policy: Any = random_llama(model).train()
    if lora:
        from peft import get_peft_model

        policy = get_peft_model(policy, LORA)
    examples = [e for b in streams.values() for e in b.examples]
    each = -(-len(examples) // parts)
    batches = [padded(examples[start : start + each]) for start in range(0, len(examples), each)]

    def loss() -> Tensor:
        for number, (ids, mask, labels) in enumerate(batches, start=1):
            found = policy(input_ids=ids, attention_mask=mask, labels=labels).loss / len(batches)
            if number < len(batches):
                found.backward()
        return found

    return Step(policy, loss, streams)


def _fill(reference: Cached, module: UnlearningModule, rows: StreamBatch) -> None:
    data = EncodedRows("retain", "drawn")
    for number, example in enumerate(rows.examples, start=1):
        data.append([(example.prompt_ids, example.response_ids)], Place(number), text="")
    folder = Path(tempfile.mkdtemp())
    reference.fill(module.policy, {"retain": data}, {"retain"}, folder, {})


def padded(examples: Sequence[Example]) -> tuple[Tensor, Tensor, Tensor]:
    """Right-padded ids, mask and labels ``[B, T]`` of rows; prompts and padding have no label."""
    width = max(len(e.prompt_ids) + len(e.response_ids) for e in examples)
    ids = torch.zeros(len(examples), width, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for row, e in enumerate(examples):
        whole = torch.tensor([*e.prompt_ids, *e.response_ids])
        ids[row, : len(whole)] = whole
        mask[row, : len(whole)] = 1
        labels[row, len(e.prompt_ids) : len(whole)] = whole[len(e.prompt_ids) :]
    return ids, mask, labels


def _move_away_from_the_reference(module: UnlearningModule) -> None:
    """So that the KL term is not at its minimum, where its gradient is zero."""
    if module.lora is None:
        _nudge(module.policy)
    else:
        generator = torch.Generator().manual_seed(1)
        for name, parameter in module.policy.named_parameters():
            if "lora_B" in name:
                with torch.no_grad():
                    parameter.copy_(0.02 * torch.randn(parameter.shape, generator=generator))


@torch.no_grad()
def _nudge(model: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        parameter.add_(0.02 * torch.randn(parameter.shape, generator=generator))
