"""A node that does not see a file of the first process gets a copy of it."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import torch
from processes import run_ranks

from unlearnkit.engine import nodes
from unlearnkit.engine.nodes import on_every_node
from unlearnkit.errors import UserError

LONG = bytes(range(256)) * 40_000
"""Longer than what is looked at of a file, and than three chunks of the test."""


def _own_disk(folder: str) -> int:
    """A node's number; its working directory is its own disk."""
    rank = int(os.environ["LOCAL_RANK"])
    os.environ["NODE_RANK"] = str(rank)
    os.chdir(Path(folder) / f"node{rank}")
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    return rank


def _meet(folder: str) -> None:
    """One of two nodes."""
    rank = _own_disk(folder)
    nodes.CHUNK = 3_000_000
    on_every_node(Path("run/model"))
    print(sorted(str(each) for each in Path("run").rglob("*") if each.is_file()))
    print(Path("run/model/weights").read_bytes() == LONG)
    on_every_node(Path("absent"))
    before = Path("run/model/weights").stat().st_mtime_ns
    on_every_node(Path("run/model"))  # both see it now
    print(Path("run/model/weights").stat().st_mtime_ns == before)
    on_every_node(Path("other.jsonl"))  # of the same name and size
    print(Path("other.jsonl").read_text())
    on_every_node(Path("empty"))
    print(Path("empty").stat().st_size)
    if rank == 0:
        Path("late").write_text("late")
    else:
        Path("late").mkdir()  # a folder is in the way
    try:
        on_every_node(Path("late"))
    except UserError as error:
        print("process 1 on" in error.message, "cannot write late" in error.message)


def test_a_node_gets_what_it_lacks_and_no_more(tmp_path) -> None:
    for node in ("node0", "node1"):
        (tmp_path / node / "run" / "model").mkdir(parents=True)
    model = tmp_path / "node0" / "run" / "model"
    (model / "weights").write_bytes(LONG)
    (model / "sub").mkdir()
    (model / "sub" / "config.json").write_text("{}")
    (tmp_path / "node0" / "other.jsonl").write_text("mine")
    (tmp_path / "node1" / "other.jsonl").write_text("your")
    (tmp_path / "node0" / "empty").touch()
    for done in run_ranks(2, _meet, str(tmp_path)):
        assert done.stdout.splitlines() == [
            "['run/model/sub/config.json', 'run/model/weights']",
            "True", "True", "mine", "0", "True True",
        ], done.stderr  # fmt: skip


def _on_one_disk(folder: str) -> None:
    """One of two processes of one node, or of two that share a disk."""
    rank = int(os.environ["LOCAL_RANK"])
    torch.distributed.init_process_group("gloo", rank=rank, world_size=2)
    nodes.Ranks.of_first = _counted(nodes.Ranks.of_first)
    on_every_node(Path(folder))


def _counted(call):
    def counted(*arguments):
        print("sent")
        return call(*arguments)

    return counted


def test_nothing_is_sent_on_a_shared_disk(tmp_path) -> None:
    (tmp_path / "weights").write_bytes(LONG)
    for done in run_ranks(2, _on_one_disk, str(tmp_path)):
        assert done.stdout.splitlines() == ["sent"], done.stderr  # the list of files alone


def test_a_process_alone_sends_nothing(tmp_path) -> None:
    on_every_node(tmp_path)
    shutil.rmtree(tmp_path)
    on_every_node(tmp_path)


def _third(folder: str) -> None:
    """One of three processes, of which the last two are on one node; the second one writes."""
    rank = int(os.environ["LOCAL_RANK"])
    os.environ["NODE_RANK"] = str(min(rank, 1))
    os.chdir(Path(folder) / f"node{min(rank, 1)}")
    torch.distributed.init_process_group("gloo", rank=rank, world_size=3)
    write = nodes._write

    def slowly(path: Path, chunks) -> None:
        time.sleep(1.0)
        write(path, chunks)

    nodes._write = slowly
    on_every_node(Path("weights"))
    print(Path("weights").read_bytes() == LONG)


def test_the_second_process_of_a_node_waits_for_the_first_one_to_write(tmp_path) -> None:
    for node in ("node0", "node1"):
        (tmp_path / node).mkdir()
    (tmp_path / "node0" / "weights").write_bytes(LONG)
    for done in run_ranks(3, _third, str(tmp_path)):
        assert done.returncode == 0, done.stderr
        assert done.stdout.split() == ["True"]
