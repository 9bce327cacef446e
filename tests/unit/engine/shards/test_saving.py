from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from processes import PATIENCE
from torch import nn
from torch._C._distributed_c10d import HashStore
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict import get_model_state_dict, get_optimizer_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from unlearnkit.engine.shards import folder, parts
from unlearnkit.engine.shards.loading import load_shards, whole_checkpoint
from unlearnkit.engine.shards.saving import Saving
from unlearnkit.errors import RecipeError, UserError


class Module(nn.Module):
    """As an `UnlearningModule`: what is trained is its policy."""

    def __init__(self) -> None:
        super().__init__()
        self.policy: Any = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
        self.dual: Any
        self.register_buffer("dual", torch.zeros(2))


@pytest.fixture(autouse=True, scope="module")
def alone() -> Iterator[None]:
    """A process group of this process."""
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.fixture
def saving() -> Iterator[Saving]:
    made = Saving(None)
    yield made
    made.end()


def _trained(seed: int, optimizer: Any = torch.optim.AdamW) -> tuple[Module, Any]:
    torch.manual_seed(seed)
    module = Module()
    fully_shard(module.policy, mesh=init_device_mesh("cpu", (1,)))
    made = optimizer(module.policy.parameters(), lr=0.1)
    for _ in range(2):
        module.policy(torch.randn(4, 3)).square().sum().backward()
        made.step()
    module.dual.fill_(seed)
    return module, made


def _checkpoint(module: Module, optimizer: Any) -> dict[str, Any]:
    return {
        "state_dict": get_model_state_dict(module),
        "optimizer_states": [get_optimizer_state_dict(module, optimizer)],
        "global_step": 2,
    }


def _values(module: Module, optimizer: Any) -> list[Any]:
    moments = [each for state in optimizer.state.values() for each in state.values()]
    tensors = [*module.policy.parameters(), module.dual, *moments]
    return [getattr(each, "to_local", lambda each=each: each)().tolist() for each in tensors]


@pytest.mark.parametrize(("size", "files"), [(2**30, 1), (32, 6)])
def test_weights_moments_and_the_rest_come_back(tmp_path, saving, monkeypatch, size, files) -> None:
    monkeypatch.setattr(parts, "FILE_BYTES", size)
    module, optimizer = _trained(1)
    saving.save(_checkpoint(module, optimizer), tmp_path / "a.ckpt")
    saving.settle()
    assert len(list((tmp_path / "a.ckpt").glob(folder.SHARDS))) == files
    other, theirs = _trained(2)
    theirs.param_groups[0]["lr"] = 0.5
    assert load_shards(tmp_path / "a.ckpt", other, [theirs]) == {"global_step": 2}
    assert _values(other, theirs) == _values(module, optimizer)
    assert theirs.param_groups[0]["lr"] == 0.1
    # As a process without shards would write it.
    whole = whole_checkpoint(tmp_path / "a.ckpt")
    plain = Module()
    plain.load_state_dict(whole["state_dict"])
    alike = torch.optim.AdamW(plain.policy.parameters())
    alike.load_state_dict(whole["optimizer_states"][0])
    assert _values(plain, alike) == _values(module, optimizer)


def test_what_is_trained_meanwhile_is_not_in_the_checkpoint(tmp_path, saving, monkeypatch) -> None:
    module, optimizer = _trained(1)
    before = _values(module, optimizer)
    write, go = HuggingFaceStorageWriter.write_data, threading.Event()

    def waits(*arguments: Any) -> Any:
        assert go.wait(PATIENCE)
        return write(*arguments)

    monkeypatch.setattr(HuggingFaceStorageWriter, "write_data", waits)
    saving.save(_checkpoint(module, optimizer), tmp_path / "a.ckpt")
    module.policy(torch.ones(4, 3)).square().sum().backward()
    optimizer.step()
    module.dual.fill_(7)
    assert _values(module, optimizer) != before
    assert not list(tmp_path.glob("*.ckpt"))
    go.set()
    saving.settle()
    load_shards(tmp_path / "a.ckpt", module, [optimizer])
    assert _values(module, optimizer) == before


def test_the_one_before_is_removed_when_the_next_one_is_there(
    tmp_path, saving, monkeypatch
) -> None:
    trained = _trained(1)
    saving.save(_checkpoint(*trained), tmp_path / "1.ckpt")
    saving.settle()
    write, seen = HuggingFaceStorageWriter.write_data, []

    def looks(*arguments: Any) -> Any:
        time.sleep(0.1)
        seen.extend(each.name for each in tmp_path.glob("*.ckpt"))
        return write(*arguments)

    monkeypatch.setattr(HuggingFaceStorageWriter, "write_data", looks)
    saving.save(_checkpoint(*trained), tmp_path / "2.ckpt")
    saving.remove(tmp_path / "1.ckpt")
    saving.settle()
    assert seen == ["1.ckpt"]
    assert [each.name for each in tmp_path.iterdir()] == ["2.ckpt"]


@pytest.mark.parametrize("step", ["shards", "list"])
def test_a_full_disk_is_told_and_leaves_the_one_before(tmp_path, saving, monkeypatch, step) -> None:
    trained = _trained(1)
    saving.save(_checkpoint(*trained), tmp_path / "1.ckpt")
    saving.settle()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    place, name = {
        "shards": (HuggingFaceStorageWriter, "write_data"),
        "list": (folder, "put_in_place"),
    }[step]
    with monkeypatch.context() as patched:
        patched.setattr(place, name, full)
        saving.save(_checkpoint(*trained), tmp_path / "2.ckpt")
        saving.remove(tmp_path / "1.ckpt")
        with pytest.raises(UserError, match=r"cannot write the checkpoint \S+2\.ckpt: .*No space"):
            saving.settle()
    assert [each.name for each in tmp_path.iterdir()] == ["1.ckpt"]
    saving.save(_checkpoint(*trained), tmp_path / "3.ckpt")
    saving.settle()


def test_what_fails_at_the_end_is_only_told(tmp_path, monkeypatch, caplog) -> None:
    saving = Saving(None)
    monkeypatch.setattr(folder, "put_in_place", lambda *_: Path("/nowhere/x").write_text("a"))
    saving.save(_checkpoint(*_trained(1)), tmp_path / "1.ckpt")
    saving.end()
    assert "the last checkpoint was not written: cannot write the checkpoint" in caplog.text


def test_a_checkpoint_of_other_weights_is_refused(tmp_path, saving) -> None:
    module, optimizer = _trained(1)
    checkpoint = _checkpoint(module, optimizer)
    del checkpoint["state_dict"]["policy.1.weight"]
    saving.save(checkpoint, tmp_path / "a.ckpt")
    saving.settle()
    with pytest.raises(RecipeError, match=r"lacks 1 trained weights, such as policy\.1\.weight"):
        load_shards(tmp_path / "a.ckpt", module, [optimizer])


def test_moments_of_another_optimizer_begin_afresh(tmp_path, saving, caplog) -> None:
    module, optimizer = _trained(1)
    saving.save(_checkpoint(module, optimizer), tmp_path / "a.ckpt")
    saving.settle()
    other, theirs = _trained(2, torch.optim.RMSprop)
    load_shards(tmp_path / "a.ckpt", other, [theirs])
    assert "they begin afresh" in caplog.text


def test_a_process_writes_files_of_bounded_size(monkeypatch) -> None:
    module, optimizer = _trained(1)
    sharded = parts.taken_apart(_checkpoint(module, optimizer)).sharded
    monkeypatch.setattr(parts, "FILE_BYTES", 32)
    # The weights take 24, 8, 16 and 8 bytes; so do the moments of each.
    numbers = parts.files_of(sharded, world=1)
    assert [numbers[f"state_dict/policy.{name}"] for name in _NAMES] == [1, 1, 2, 2]
    assert set(parts.files_of(sharded, world=100).values()) == {1}


_NAMES = ("0.weight", "0.bias", "1.weight", "1.bias")
