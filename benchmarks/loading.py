"""Measures what each process of a sharded model holds while it loads.

    python -m benchmarks.loading [--ranks 4] [--width 1024] [--blocks 24] [--quick] [--cached]
        [--json FILE]

A random Llama in float32 (by default of 1.07 GiB) is written to a temporary folder, and processes
joined by gloo load it as ``trainer.strategy: fsdp2`` does, with a frozen reference, or with a
cached one, whose values of 24 rows of 32 tokens are worked out too. The figure of a phase is the
most anonymous memory that a process held meanwhile, less what a process of the same rank held that
loaded a model of as many blocks and next to no weights: libraries, and what they take in their
first pass, are in both. With a frozen reference it is per model, so half of what the two take.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import new_file
from benchmarks.ranks import on_ranks

NAME = "benchmarks.loading"

GOAL = 0.35
"""Of the model, for policy and reference each."""
IDLE = 32
"""Width of the model that has next to no weights."""


class Watch:
    """Notes the most anonymous memory of this process in each phase of its work.

    Args:
        held: Gives what is held at this moment, in bytes.
    """

    def __init__(self, held: Callable[[], int]) -> None:
        self.peaks: dict[str, int] = {}
        self._held, self._phase, self._done = held, "before", threading.Event()

    def look(self) -> None:
        """Notes what is held now."""
        self.peaks[self._phase] = max(self.peaks.get(self._phase, 0), self._held())

    def begin(self, phase: str) -> None:
        """Ends a phase, and begins the next one."""
        self.look()
        self._phase = phase
        self.look()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Looks every millisecond meanwhile."""
        thread = threading.Thread(target=self._look_often)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()
            self.look()

    def _look_often(self) -> None:
        while not self._done.wait(0.001):
            self.look()


def anonymous() -> int:
    """Bytes of this process that no file backs."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon")) * 1024


def save(folder: Path, width: int, blocks: int) -> int:
    """Writes a random model in files of a quarter of a GiB; gives the bytes of its weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=2048, hidden_size=width, intermediate_size=width * 11 // 4,
        num_hidden_layers=blocks, num_attention_heads=8, num_key_value_heads=4,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder, max_shard_size="256MB")
    return sum(weight.nbytes for weight in model.parameters())


def load(folder: str, cached: bool) -> dict[str, int]:
    """Loads a model on this process of several; gives the most that it held, by phase."""
    from datetime import timedelta

    import torch
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh

    from unlearnkit import UnlearningModule
    from unlearnkit.engine.training import building
    from unlearnkit.objectives import GradientAscent, RetainKL

    torch.set_num_threads(1)
    distributed.init_process_group("gloo", timeout=timedelta(minutes=10))
    world = distributed.get_world_size()
    mesh = init_device_mesh("cpu", (world, 1), mesh_dim_names=("data_parallel", "tensor_parallel"))
    module: Any = UnlearningModule(
        {"forget": GradientAscent(), "retain": RetainKL()}, base=folder,
        reference="cached" if cached else "frozen",
    )  # fmt: skip
    module._device_mesh = mesh
    watch = Watch(anonymous)

    def told(phase: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            watch.begin(phase)
            return function(*arguments, **options)

        return call

    patched: Any = building
    patched.shard = told("shard", building.shard)
    patched.Slices.fill = told("read", building.Slices.fill)
    patched._choose = told("probe", patched._choose)
    patched.Head = told("head", building.Head)
    patched.Slices.frozen = staticmethod(told("reference", building.Slices.frozen))
    distributed.barrier()
    with watch.running():
        watch.begin("build")
        module.configure_model()
        if cached:
            watch.begin("fill")
            fill(module)
        watch.begin("end")
        distributed.barrier()
    distributed.destroy_process_group()
    return watch.peaks


def fill(module: Any) -> None:
    """Works out the values of a cached reference, on all processes."""
    from unlearnkit.data.encoded import EncodedRows
    from unlearnkit.engine.generation.dealing import Ranks
    from unlearnkit.engine.training.fsdp2 import let_go
    from unlearnkit.errors import Place

    rows = EncodedRows("retain", "drawn")
    for number in range(24):
        rows.append([((5 + number,) * 16, (7,) * 16)], Place(number), text="")
    ranks = Ranks.joined()
    assert ranks is not None
    with tempfile.TemporaryDirectory() as folder:
        kept = ranks.of_first(folder)
        module.reference.fill(
            module.policy, {"retain": rows}, {"retain"}, Path(kept), {}, write=ranks.rank == 0,
            then=ranks.gathered, ranks=ranks,
        )  # fmt: skip
    let_go(module.policy)


def above(found: dict[str, int], idle: dict[str, int], size: int, models: int) -> dict[str, float]:
    """What a process held above an idle one in each phase, of one of so many models."""
    return {phase: (held - idle[phase]) / models / size for phase, held in found.items()}


def table(size: int, ranks: list[dict[str, float]], models: int) -> str:
    """Lines of the phases of each rank, and the worst of all."""
    whose = "policy and reference each" if models > 1 else "policy and cached reference"
    lines = [f"model of {size / 2**30:.2f} GiB; {whose}, in parts of it"]
    phases = list(ranks[0])
    lines.append("rank  " + "".join(f"{phase:>11}" for phase in phases))
    for number, found in enumerate(ranks):
        lines.append(f"{number:<6}" + "".join(f"{found[phase]:11.3f}" for phase in phases))
    worst = max(max(found.values()) for found in ranks)
    lines.append(f"peak {worst:.3f}, goal {GOAL}")
    return "\n".join(lines)


def measure(
    ranks: int, width: int, blocks: int, cached: bool
) -> tuple[int, list[dict[str, float]]]:
    """Bytes of the model, and what each rank held in each phase."""
    how = ["--cached"] if cached else []
    with tempfile.TemporaryDirectory() as folder:
        sizes = {}
        for name, wide in (("model", width), ("idle", IDLE)):
            words = [str(Path(folder, name)), str(wide), str(blocks)]
            made = [sys.executable, "-m", NAME, "--make", *words]
            done = subprocess.run(made, stdout=subprocess.PIPE, text=True, check=True)
            sizes[name] = int(done.stdout.splitlines()[-1])
        idle = on_ranks(NAME, ranks, str(Path(folder, "idle")), *how)
        found = on_ranks(NAME, ranks, str(Path(folder, "model")), *how)
    size, models = sizes["model"] - sizes["idle"], 1 if cached else 2
    return size, [above(each, other, size, models) for each, other in zip(found, idle, strict=True)]


def main() -> None:
    """Measures, prints a table, and writes JSON on request."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loading", description=__doc__)
    parser.add_argument("--ranks", type=int, default=4)
    parser.add_argument("--width", type=int, default=1024, help="of the model, in numbers")
    parser.add_argument("--blocks", type=int, default=24, help="of the decoder")
    parser.add_argument("--quick", action="store_true", help="two processes, a model of 34 MiB")
    parser.add_argument(
        "--cached", action="store_true", help="a cached reference, not a frozen one"
    )
    parser.add_argument("--json", type=new_file, help="write the figures to this new file")
    parser.add_argument("--process", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.make:
        folder, width, blocks = given.make
        print(save(Path(folder), int(width), int(blocks)))
        return
    if given.process:
        print(json.dumps(load(str(given.process), given.cached)))
        return
    sizes = (2, 256, 12) if given.quick else (given.ranks, given.width, given.blocks)
    size, ranks = measure(*sizes, given.cached)
    print(table(size, ranks, 1 if given.cached else 2))
    if given.json:
        given.json.write_text(json.dumps({"bytes": size, "ranks": ranks}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
