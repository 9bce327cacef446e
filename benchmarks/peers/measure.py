"""Measures one side in this process, or both in their own."""

from __future__ import annotations

import importlib
import json
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.nn import functional as F
from transformers import LlamaForCausalLM, PreTrainedModel

from benchmarks.flops import count_flops
from benchmarks.peers import KEEP, SIDES
from benchmarks.peers.checkout import NoCheckout, recognise
from benchmarks.peers.rows import Workload
from benchmarks.peers.sides import ours
from benchmarks.variants import padded
from benchmarks.workload import random_llama
from unlearnkit.data.example import Example
from unlearnkit.engine.training.heap import keep_freed_memory
from unlearnkit.models.base import as_base_model
from unlearnkit.models.load import load_config, load_model


class Setting(NamedTuple):
    """What both sides have in common."""

    folder: Path
    loss: str
    model: str
    steps: int
    seed: int
    lr: float
    batch: int = 4
    """Forget rows of a step, and retain rows."""
    keep: str = KEEP[0]
    """Whose process keeps the memory that it frees, of `KEEP`."""

    def arguments(self) -> list[str]:
        """The same on the command line of one side's process."""
        given = ("--losses", self.loss, "--models", self.model, "--steps", self.steps)
        drawn = ("--seed", self.seed, "--lr", self.lr, "--batch", self.batch)
        return [str(a) for a in (self.folder, *given, *drawn, "--keep", self.keep)]


def losses_of(folder: Path) -> list[str]:
    """Names of the losses that a checkout is compared by.

    Raises:
        NoCheckout: If the folder is no checkout.
    """
    return list(_calls(folder).LOSSES)


def run_side(setting: Setting, name: str) -> dict[str, Any]:
    """Trains one side and returns what was measured.

    Raises:
        NoCheckout: If the folder is none, or a package that its code imports is not there.
    """
    torch.set_num_threads(1)
    if setting.keep in (name, "both"):
        keep_freed_memory(torch.device("cpu"))
    peer = _calls(setting.folder)
    workload = Workload(peer.FRAME, setting.steps, setting.seed, setting.batch)
    model = model_of(setting.model, setting.seed).train()
    if name == "ours":
        objectives = peer.LOSSES[setting.loss]
        side = ours(model, getattr(objectives, "ours", objectives))
    else:
        try:
            side = peer.theirs(setting.folder, setting.loss, model, workload)
        except ImportError as error:
            raise NoCheckout(f"{setting.folder} cannot be imported: {error}") from error
    prepared = [side.prepare(rows) for rows in workload.steps]
    optimizer = torch.optim.AdamW(model.parameters(), lr=setting.lr, weight_decay=0.0)
    losses: list[float] = []
    seconds: list[float] = []
    flops = 0

    def passes(rows: Any) -> None:
        loss = side.loss(rows)
        loss.backward()
        losses.append(float(loss.detach()))

    before = _resident()
    for number, rows in enumerate(prepared):
        start = time.process_time()
        if number:
            passes(rows)
        else:
            flops = count_flops(partial(passes, rows))
        seconds.append(time.process_time() - start)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    peak = _status("VmHWM")
    return {
        # The first step also allocates what later ones find there.
        "seconds": statistics.fmean(seconds[1:] or seconds),
        "memory_mb": None if before is None or peak is None else (peak - before) / 1024,
        "flops": flops,
        "losses": losses,
        "forget_nll": nll(model, workload.examples("forget")),
        "retain_nll": nll(model, workload.examples("retain")),
    }


def compare(setting: Setting, rounds: int) -> dict[str, Any]:
    """Both sides in processes of their own, in several rounds; ratios are ours over theirs.

    Raises:
        NoCheckout: With the message of a side that could not be run.
    """
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for number in range(rounds):
        order = random.Random(number).sample(SIDES, len(SIDES))
        for side in order:
            runs[side].append(_in_a_process(setting, side))
    return row(setting, runs["ours"], runs["theirs"])


def row(
    setting: Setting, mine: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """The line of a table: figures of both sides and their ratios."""
    times = [m["seconds"] / o["seconds"] for m, o in zip(mine, other, strict=True)]
    first, theirs = mine[0], other[0]
    start = theirs["losses"][0]
    found: dict[str, Any] = {
        "loss": setting.loss,
        "model": setting.model,
        "steps": setting.steps,
        "batch": setting.batch,
        "keep": setting.keep,
        "cpu_ratio": statistics.median(times),
        "cpu_range": [min(times), max(times)],
        "cpu_seconds": [statistics.median(r["seconds"] for r in runs) for runs in (mine, other)],
        "memory_mb": [_median_memory(runs) for runs in (mine, other)],
        "flops_ratio": first["flops"] / theirs["flops"],
        "loss_gap": (first["losses"][0] - start) / max(abs(start), 1.0),
    }
    held, theirs_held = found["memory_mb"]
    found["memory_ratio"] = held / theirs_held if held and theirs_held else None
    for name in ("forget_nll", "retain_nll"):
        found[name] = [first[name], theirs[name]]
        found[f"{name}_ratio"] = first[name] / theirs[name]
    return found


@torch.no_grad()
def nll(model: PreTrainedModel, rows: Sequence[Example], batch: int = 8) -> float:
    """Negative log-likelihood per response token, by the model's plain logits."""
    model.eval()
    total, tokens = 0.0, 0
    for start in range(0, len(rows), batch):
        ids, mask, labels = padded(rows[start : start + batch])
        # Our side gave the model its own attention function, which without a tree is the plain one.
        logits = model(input_ids=ids, attention_mask=mask).logits[:, :-1].float()
        target = labels[:, 1:]
        total += float(F.cross_entropy(logits.flatten(0, 1), target.flatten(), reduction="sum"))
        tokens += int((target != -100).sum())
    return total / tokens


def _calls(folder: Path) -> Any:
    return importlib.import_module(f"benchmarks.peers.{recognise(folder).name}")


def model_of(name: str, seed: int) -> PreTrainedModel:
    """A model of `MODELS`, or ``untrained``: the embedded one with weights that are drawn."""
    if name == "untrained":
        torch.manual_seed(seed)
        return LlamaForCausalLM(load_config(as_base_model("tiny")))
    return load_model("tiny") if name == "tiny" else random_llama(name, seed)


def _in_a_process(setting: Setting, side: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.peers", *setting.arguments(), "--side", side]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        ended = f"{side} of {setting.loss} ended with code {done.returncode} and said nothing"
        raise NoCheckout((done.stderr.strip() or ended).splitlines()[-1])
    return json.loads(done.stdout.strip().splitlines()[-1])


def _median_memory(runs: Sequence[dict[str, Any]]) -> float | None:
    known = [run["memory_mb"] for run in runs if run["memory_mb"] is not None]
    return statistics.median(known) if known else None


def _resident() -> int | None:
    """What is resident now, in KiB; the peak counts from here. None where there is no /proc."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def _status(key: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) for line in lines if line.startswith(key)), None)
