"""Two nodes, each in a working directory of its own, as with disks that are not shared."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from processes import PATIENCE, Done, free_port, run_ranks, start
from rows import UNEQUAL
from safetensors.torch import load_file
from stub import save_stub

from unlearnkit.files import name_beside

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
RECIPE = """\
model:
  base: stub
  reference: cached
  optimizer: {name: AdamW, lr: 1.0e-2}
  objectives:
    forget: {name: d2o, samples: drawn}
    retain: {name: retain_kl}
data:
  batch_size: 1
  max_length: 64
  streams:
    forget: {name: qa, path: forget.jsonl}
    retain: {name: qa, path: retain.jsonl}
    drawn: {name: sampled, prompts: forget, per_prompt: 2, max_new_tokens: 4}
trainer:
  max_steps: 6
  accelerator: cpu
  enable_progress_bar: false
evaluate: [{name: copyright, heldout: retain.jsonl, neighbour: retain.jsonl}]
"""
PHASES = f"""
{RECIPE.rpartition("evaluate")[0]}
phases:
  - name: ascent
    model:
      objectives:
        forget: {{name: gradient_ascent}}
  - trainer: {{max_steps: 2}}
"""
SHARDED = ("--trainer.strategy", "fsdp2")


@pytest.fixture(scope="module")
def nodes(written, tmp_path_factory) -> Path:
    """Two nodes with the same recipe, data and model, and nothing else."""
    made = tmp_path_factory.mktemp("nodes")
    own = made / "node0"
    own.mkdir()
    for path in written(**UNEQUAL).glob("*.jsonl"):
        shutil.copy(path, own)
    save_stub({"random_init": 1, "dropout": 0.2}, own / "stub")
    (own / "recipe.yaml").write_text(RECIPE)
    shutil.copytree(own, made / "node1")
    shutil.copytree(own, made / "one")
    return made


def _fit(folder: str, *words: str, recipe: str = "recipe.yaml") -> int:
    """On one process of each node, or of one node where there is no second."""
    node = Path(folder) / f"node{os.environ['LOCAL_RANK']}"
    os.chdir(node if node.is_dir() else folder)
    return _main("--trainer.devices", "2", *words, recipe=recipe)


def _fit_phases(folder: str) -> int:
    words = ("--trainer.strategy", "ddp", "--run_dir", "phased")
    return _fit(folder, *words, recipe="phases.yaml")


def _main(*words: str, recipe: str = "recipe.yaml") -> int:
    sys.path[:0] = [str(HERE), "."]
    from unlearnkit.cli.main import main

    return main(["fit", "-r", recipe, *words])


def _two_by_two(nodes: Path, *words: str) -> list[Done]:
    """What two processes on each of two nodes give, told what torchrun tells them."""
    port = str(free_port())
    world = {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "4",
        "LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_RUN_ID": "none",
    }  # fmt: skip
    running = [
        start(
            _main, "--trainer.num_nodes", "2", "--trainer.devices", "2", *words,
            cwd=nodes / f"node{rank // 2}",
            env={
                **world, "RANK": str(rank), "LOCAL_RANK": str(rank % 2),
                "GROUP_RANK": str(rank // 2),
            },
        )
        for rank in range(4)
    ]  # fmt: skip
    return [each.wait() for each in running]


def _launched(nodes: Path, processes: int, *words: str) -> list[subprocess.CompletedProcess[str]]:
    """What torchrun gives on each of two nodes."""
    port = str(free_port())
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2",
             "--nproc_per_node", str(processes), "--node_rank", str(node),
             "--master_addr", "127.0.0.1", "--master_port", port,
             "-m", "unlearnkit", "fit", "-r", "recipe.yaml", "--run_dir", f"runs{processes}",
             "--trainer.num_nodes", "2", "--trainer.devices", str(processes),
             "--trainer.strategy", "ddp", *words],
            cwd=nodes / f"node{node}", text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={
                **os.environ, "COLUMNS": "300",
                "PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]),
            },
        )
        for node in (0, 1)
    ]  # fmt: skip
    done = [(each, *each.communicate(timeout=PATIENCE)) for each in running]
    return [subprocess.CompletedProcess([], each.returncode, *said) for each, *said in done]


def _weights(runs: Path) -> dict[str, torch.Tensor]:
    (found,) = runs.glob("recipe/*/model/model.safetensors")
    return load_file(found)


def _left_by_a_killed_process(folder: Path) -> Path:
    done = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], stdout=-1)
    own, ended = f"-{os.getpid()}-", f"-{int(done.stdout)}-"
    name = name_beside(folder / "step=9.ckpt").name.replace(own, ended)
    (folder / name).mkdir()
    return folder / name


def _all_done(done: list[Done]) -> None:
    for each in done:
        assert each.returncode == 0, each.stderr


@pytest.fixture(scope="module")
def whole(nodes) -> Path:
    """The run of one node with two processes."""
    _all_done(run_ranks(2, _fit, str(nodes / "one"), "--trainer.strategy", "ddp"))
    return nodes / "one" / "runs"


@pytest.mark.ranks
@pytest.mark.parametrize("processes", [1])
def test_a_stopped_run_goes_on_without_a_shared_disk(nodes, whole, processes) -> None:
    stop = "[{name: stop.Stop, to: self}]"
    first, second = _launched(nodes, processes, "--trainer.callbacks", stop)
    assert "SIGTERM at step 4; saved runs" in first.stderr, first.stderr
    assert first.returncode
    assert second.returncode
    assert not [*(nodes / "node1" / f"runs{processes}").rglob("*.ckpt")]
    assert [*(nodes / "node0").glob("samples/*.jsonl")]
    for done in _launched(nodes, processes, "--ckpt_path", "last", "--resume_with_changes"):
        assert done.returncode == 0, done.stderr
    (checkpoint,) = (nodes / "node1" / f"runs{processes}").rglob("*.ckpt")
    (there,) = (nodes / "node0" / f"runs{processes}").rglob("*.ckpt")
    assert checkpoint.read_bytes() == there.read_bytes()
    found = _weights(nodes / "node0" / f"runs{processes}")
    assert all(torch.equal(found[key], each) for key, each in _weights(whole).items())
    for kind in ("samples/*.jsonl", f"runs{processes}/recipe/*/reference/*.safetensors"):
        copies = [sorted((nodes / node).glob(kind)) for node in ("node0", "node1")]
        assert [each.read_bytes() for each in copies[0]] == [
            each.read_bytes() for each in copies[1]
        ]
        assert copies[0]
    assert not [*(nodes / "node1").rglob("summary.json")]


@pytest.mark.ranks
def test_two_processes_on_each_of_two_nodes_stop_and_go_on_as_four(nodes, tmp_path) -> None:
    """Checkpoints in shards are on a disk that both see, all else on disks of their own."""
    runs, strategy = str(tmp_path / "runs"), "{name: fsdp2, shard: 2, replicate: 2}"
    words = ["--trainer.strategy", strategy, "--model.reference", "frozen", "--evaluate", "[]"]
    words.append("--run_dir")
    four = str(tmp_path / "four")
    _all_done(run_ranks(4, _fit, str(nodes / "one"), *words, four, "--trainer.devices", "4"))
    stop = "[{name: stop.Stop, to: self}]"
    stopped = _two_by_two(nodes, *words, runs, "--trainer.callbacks", stop)
    assert [each.returncode for each in stopped] == [143] * 4, stopped[0].stderr
    folder = Path(runs)
    left = _left_by_a_killed_process(next(folder.glob("recipe/*")))
    again = ("--ckpt_path", "last", "--resume_with_changes")
    _all_done(_two_by_two(nodes, *words, runs, *again))
    assert not left.exists()
    found = _weights(folder)
    assert all(torch.equal(found[key], each) for key, each in _weights(Path(four)).items())


@pytest.mark.ranks
@pytest.mark.parametrize(
    ("strategy", "reference"),
    [("ddp", "cached"), ("{name: fsdp2, checkpoints: whole}", "frozen")],
)
def test_two_processes_on_each_of_two_nodes_go_on_with_disks_of_their_own(
    nodes, strategy, reference
) -> None:
    """What the first process writes is on its node alone, and the other one is sent copies."""
    words = ["--trainer.strategy", strategy, "--model.reference", reference, "--evaluate", "[]"]
    words += ["--run_dir", f"own-{reference}"]
    _all_done(run_ranks(4, _fit, str(nodes / "one"), *words, "--trainer.devices", "4"))
    stop = "[{name: stop.Stop, to: self}]"
    stopped = _two_by_two(nodes, *words, "--trainer.callbacks", stop)
    assert [each.returncode for each in stopped] == [143] * 4, stopped[0].stderr
    _all_done(_two_by_two(nodes, *words, "--ckpt_path", "last", "--resume_with_changes"))
    found, whole = (_weights(nodes / each / f"own-{reference}") for each in ("node0", "one"))
    assert all(torch.equal(found[key], each) for key, each in whole.items())


@pytest.mark.ranks
def test_phases_go_on_from_each_other_without_a_shared_disk(nodes) -> None:
    for folder in nodes.iterdir():
        (folder / "phases.yaml").write_text(PHASES)
    for folder in (nodes, nodes / "one"):
        _all_done(run_ranks(2, _fit_phases, str(folder)))
    node0, node1, one = (
        sorted((nodes / each / "phased").glob("phases/*/*/model/model.safetensors"))
        for each in ("node0", "node1", "one")
    )
    assert len(node0) == len(node1) == len(one) == 2
    for own, copy, whole in zip(node0, node1, one, strict=True):
        assert own.read_bytes() == copy.read_bytes() == whole.read_bytes()


@pytest.mark.ranks
def test_a_sharded_model_is_evaluated_without_a_shared_disk(nodes) -> None:
    _all_done(run_ranks(2, _fit, str(nodes), *SHARDED, "--run_dir", "sharded"))
    (summary,) = nodes.rglob("sharded/recipe/*/summary.json")
    assert json.loads(summary.read_text())["suites"]["copyright"]["after"]
    (copy,) = (nodes / "node1").rglob("sharded/recipe/*/model/model.safetensors")
    assert copy.read_bytes() == (summary.parent / "model" / "model.safetensors").read_bytes()
    for name in ("forget", "retain"):
        first, second = nodes.rglob(f"sharded/recipe/*/reference/{name}.safetensors")
        assert first.read_bytes() == second.read_bytes()


@pytest.mark.ranks
def test_what_one_node_refuses_all_refuse(nodes) -> None:
    rows = nodes / "node1" / "retain.jsonl"
    before = rows.read_text()
    rows.write_text(before + "{}\n")
    try:
        first, second = run_ranks(2, _fit, str(nodes), *SHARDED)
    finally:
        rows.write_text(before)
    assert (first.returncode, second.returncode) == (2, 2), first.stderr
    said = [" ".join(each.stderr.replace("│", " ").split()) for each in (first, second)]
    assert "process 1 on" in said[0]
    assert all("retain.jsonl, line 9" in each for each in said)


@pytest.mark.ranks
def test_a_file_of_the_recipe_that_one_node_lacks_ends_all(nodes) -> None:
    """Found before there is a trainer, so that no strategy has connected the processes."""
    rows = nodes / "node1" / "retain.jsonl"
    rows.rename(rows.with_suffix(".away"))
    try:
        done = _two_by_two(nodes, "--trainer.strategy", "ddp")
    finally:
        rows.with_suffix(".away").rename(rows)
    assert [each.returncode for each in done] == [2] * 4, done[0].stderr
    said = [" ".join(each.stderr.replace("│", " ").split()) for each in done]
    assert "process 2 on" in said[0]
    assert all("recipe.yaml:13: data.streams.retain" in said[rank] for rank in (0, 2))
    assert not said[1]
