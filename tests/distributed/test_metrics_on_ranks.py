"""Metrics on two processes give the figures of one, to the last digit."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from processes import run_ranks

from unlearnkit.metrics import MembershipAUC, Perplexity, RefusalRate, Rouge, UnlearningMetric

ROWS = list(range(7))
LOGPS = torch.linspace(-3.0, -0.1, 14)
TEXTS = ["a b c", "a", "", "b c", "a b", "c", "x"]
TRUE = ["a b c", "a b", "c", "b", "a c b", "c c c", "y"]
SCORES = torch.tensor([1.0, 2.0, 2.0, 3.0, 3.0, 5.0, 0.5])
IS_FORGET = torch.tensor([1, 1, 0, 1, 0, 0, 0]).bool()


def metrics(rows: list[int]) -> dict[str, UnlearningMetric]:
    """Metrics that hold these rows only; each row is two tokens."""
    rouge, perplexity, auc = Rouge(), Perplexity(), MembershipAUC()
    refusals = RefusalRate(["b"])
    for row in rows:
        rouge.update([TEXTS[row]], [TRUE[row]], rows=[row])
        refusals.update([TEXTS[row]], rows=[row])
        both = slice(2 * row, 2 * row + 2)
        perplexity.update(LOGPS[both], torch.zeros(2, dtype=torch.long), 1, rows=[row])
        auc.update(SCORES[row : row + 1], IS_FORGET[row : row + 1], rows=[row])
    return {"rouge": rouge, "perplexity": perplexity, "auc": auc, "refusals": refusals}


# As a sampler deals seven rows to two processes, the first row filling up the last place; and a
# process that has none.
DEALT = {"in turn": ([0, 2, 4, 6], [1, 3, 5, 0]), "all to one": (ROWS, [])}


def one_rank(folder: str) -> None:
    rank = int(os.environ["LOCAL_RANK"])
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2
    )
    found = {
        way: {name: metric.compute().item() for name, metric in metrics(parts[rank]).items()}
        for way, parts in DEALT.items()
    }
    torch.save(found, Path(folder) / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_processes_give_the_figures_of_one(tmp_path):
    alone = {name: metric.compute().item() for name, metric in metrics(ROWS).items()}
    assert [done.returncode for done in run_ranks(2, one_rank, str(tmp_path))] == [0, 0]
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found == {way: alone for way in DEALT}
