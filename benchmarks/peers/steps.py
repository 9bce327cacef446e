"""Twelve methods step by step beside open-unlearning.

    python -m benchmarks.peers.steps CHECKOUT [--steps 50] [--methods NAME ...] [--quick]
                                    [--model tiny|untrained] [--lr 1e-5] [--batch 4] [--json FILE]

CHECKOUT is a folder of your disk with a clone of open-unlearning (locuslab); its code is run. Both
sides start from the same model and train on the same rows in the same order, with the same AdamW,
each on its own weights. After every step the two losses are compared, as their difference over
theirs where that is above 1. The largest gap of all steps is told twice: with the switch that
makes our loss theirs, and with our formula. A method without a switch is the same in both. RMU's
random direction is ours on both sides, since each draws its own.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import new_file
from benchmarks.peers import MODELS
from benchmarks.peers.checkout import PEERS, NoCheckout, recognise

CLOSE = 1e-4
"""Two losses are the same up to this gap."""
HEAD = "| Method | Largest gap, our formula | with the switch | Switch |\n|---|---:|---:|---|"


class Setting(NamedTuple):
    """What both sides have in common."""

    folder: Path
    model: str = "tiny"
    steps: int = 50
    seed: int = 0
    lr: float = 1e-5
    batch: int = 4
    """Forget rows of a step, and retain rows."""


def gap(mine: Sequence[float], theirs: Sequence[float]) -> float:
    """The largest difference of two courses of losses, over theirs where that is above 1."""
    pairs = zip(mine, theirs, strict=True)
    return max(abs(a - b) / max(abs(b), 1.0) for a, b in pairs)


def verdict(row: Mapping[str, Any]) -> str:
    """``same``, ``explained`` by the switch, or ``open``."""
    if row["gap"] <= CLOSE:
        return "same"
    return "explained" if row["gap_switched"] <= CLOSE else "open"


def line(row: Mapping[str, Any]) -> str:
    """A row of the table, in Markdown."""
    explained = row["switch"] or ("none needed" if row["gap"] <= CLOSE else "none known")
    cells = (row["method"], f"{row['gap']:.1e}", f"{row['gap_switched']:.1e}", explained)
    return f"| {' | '.join(cells)} |"


def compare(setting: Setting, name: str) -> dict[str, Any]:
    """Trains theirs, ours, and ours with the switch; gives the gaps and all losses.

    Raises:
        NoCheckout: If a package that the checkout imports is not there.
    """
    from benchmarks.peers.methods import METHODS

    method = METHODS[name]
    try:
        theirs = _theirs(setting, name)
    except ImportError as error:
        raise NoCheckout(f"{setting.folder} cannot be imported: {error}") from error
    plain = _ours(setting, method.pairing.ours, {})
    switched = plain
    if (switch := method.switch) is not None:
        switched = _ours(setting, switch.laid_over(method.pairing.ours), switch.positions)
    row: dict[str, Any] = {
        "method": name,
        "gap": gap(plain, theirs),
        "gap_switched": gap(switched, theirs),
        "switch": method.switch and method.switch.name(),
        "losses": {"theirs": theirs, "ours": plain, "switched": switched},
    }
    return {**row, "verdict": verdict(row)}


def _theirs(setting: Setting, name: str) -> list[float]:
    from benchmarks.peers.methods import METHODS
    from benchmarks.peers.open_unlearning import made
    from benchmarks.variants import padded
    from unlearnkit.objectives import RMU

    pairing = METHODS[name].pairing
    model, workload = _start(setting)
    trainer = made(setting.folder, pairing, model)
    for objective in pairing.ours.values():
        if objective["name"] == "rmu":
            rmu = RMU(layer=objective["layer"], steering=objective["steering"])
            trainer.control_vec = rmu.control_vector(model.config.hidden_size)[None, None]

    def loss(rows: Any) -> Any:
        keys = ("input_ids", "attention_mask", "labels")
        named = {
            stream: dict(zip(keys, padded(rows.streams[stream].examples), strict=True))
            for stream in ("forget", "retain", "alternate")
        }
        if name == "DPO":
            pair = {"original": named["forget"], "alternate": named["alternate"]}
            return trainer.compute_loss(model, {**named, "forget": pair})
        return trainer.compute_loss(model, named)

    return _train(setting, model, workload.steps, loss)


def _ours(setting: Setting, objectives: Any, positions: Mapping[str, Any]) -> list[float]:
    import torch

    from benchmarks.peers.positions import views_at
    from benchmarks.peers.sides import module_of

    model, workload = _start(setting)
    module = module_of(model, objectives)
    module.train()

    def loss(rows: Any) -> Any:
        read = {k: v for k, v in rows.streams.items() if k in module.streams_read}
        if not positions:
            return module.loss(module.packer(read))
        views: dict[str, Any] = {}
        for stream, batch in read.items():
            if stream in positions:
                views |= views_at(module, stream, positions[stream], batch.examples)
            else:
                (packed,) = module.packer({stream: batch})
                views |= module(packed)
        terms = [o.weight * o(views) for o in module.active.values()]
        return torch.stack(terms).sum()

    def after_step() -> None:
        for objective in module.active.values():
            objective.after_step(lambda mean_of_one_process: mean_of_one_process)

    return _train(setting, model, workload.steps, loss, after_step)


def _start(setting: Setting) -> tuple[Any, Any]:
    from benchmarks.peers.measure import model_of
    from benchmarks.peers.open_unlearning import FRAME
    from benchmarks.peers.rows import Workload

    drawn = (setting.steps, setting.seed, setting.batch, setting.batch)
    return model_of(setting.model, setting.seed).train(), Workload(FRAME, *drawn)


def _train(
    setting: Setting,
    model: Any,
    steps: Sequence[Any],
    loss: Callable[[Any], Any],
    after_step: Callable[[], None] = lambda: None,
) -> list[float]:
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=setting.lr, weight_decay=0.0)
    losses: list[float] = []
    for rows in steps:
        value = loss(rows)
        value.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        after_step()
        losses.append(float(value.detach()))
    return losses


def main(argv: list[str] | None = None) -> int:
    """Prints a table; 2 where there is nothing to compare with, 1 where a gap is open."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.peers.steps",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--methods", nargs="+", metavar="NAME", help="by default all twelve")
    parser.add_argument("--model", choices=("untrained", *MODELS), default="tiny")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--lr", type=float, default=Setting._field_defaults["lr"])
    parser.add_argument("--batch", type=int, default=4, help="forget rows of a step")
    parser.add_argument("--quick", action="store_true", help="three steps")
    parser.add_argument("--json", type=new_file)
    options = parser.parse_args(argv)
    if min(options.steps, options.batch) < 1:
        parser.error("--steps and --batch: expected at least 1")
    try:
        peer = recognise(options.checkout)
        if peer != PEERS[0]:
            parser.error(f"{options.checkout} is a checkout of {peer.title}, not {PEERS[0].title}")
        # Late, since these import torch, and a refusal needs none of it.
        import torch
        from transformers.utils.logging import disable_progress_bar

        from benchmarks.peers.methods import METHODS

        for name in options.methods or ():
            if name not in METHODS:
                parser.error(f"--methods: there is {', '.join(METHODS)}, not {name}")
        torch.set_num_threads(1)
        warnings.simplefilter("ignore")
        disable_progress_bar()
        steps = 3 if options.quick else options.steps
        drawn = (options.model, steps, options.seed, options.lr, options.batch)
        setting = Setting(options.checkout, *drawn)
        print(f"{peer.title}, {steps} steps of {options.batch} rows, rate {options.lr:g}\n\n{HEAD}")
        rows: list[dict[str, Any]] = []
        for name in options.methods or METHODS:
            rows.append(compare(setting, name))
            print(line(rows[-1]), flush=True)
    except NoCheckout as error:
        parser.error(str(error))
    if options.json:
        found = {"peer": peer.title, **setting._asdict(), "folder": None, "rows": rows}
        options.json.write_text(json.dumps(found, indent=2) + "\n")
    return int(any(row["verdict"] == "open" for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
