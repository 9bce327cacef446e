"""Gradients of a batch's views, by DistributedDataParallel or on one process."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from architectures import tiny_model
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from unlearnkit import views_from_batch

IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 0], [12, 13, 14, 15], [16, 17, 18, 0]])
MASK = (IDS > 0).long()
LABELS = IDS.masked_fill(MASK == 0, -100).index_fill(1, torch.tensor([0, 1]), -100)


def gradient(model: nn.Module, rows: slice) -> Tensor:
    """Of the likelihood of these rows, after an earlier step."""
    for _ in range(2):
        model.zero_grad()
        view = views_from_batch(model, IDS[rows], LABELS[rows], MASK[rows])["forget"]
        view.mean(view.logps).backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def main(out: str) -> None:
    """Two of the four rows on each of two ranks."""
    rank = int(os.environ["LOCAL_RANK"])
    distributed.init_process_group("gloo", rank=rank, world_size=int(os.environ["WORLD_SIZE"]))
    found = gradient(DistributedDataParallel(tiny_model("llama")), slice(2 * rank, 2 * rank + 2))
    torch.save(found, Path(out) / f"rank{rank}.pt")
    distributed.destroy_process_group()
