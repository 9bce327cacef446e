from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from peft import LoraConfig, get_peft_model
from peft.utils import get_peft_model_state_dict
from safetensors import safe_open
from stub import stub_model
from torch._C._distributed_c10d import HashStore
from torch.distributed.device_mesh import init_device_mesh
from transformers import AutoModelForCausalLM

from unlearnkit.engine.shards import export
from unlearnkit.engine.shards.export import gathered, goes_file_by_file, write_weights
from unlearnkit.engine.training.fsdp2 import shard


@pytest.fixture(autouse=True, scope="module")
def alone() -> Iterator[None]:
    """A process group of this process."""
    dist.init_process_group("gloo", store=HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("tie", [False, True])
@pytest.mark.parametrize("limit", [5 * 10**9, 6000])
def test_weights_are_those_of_the_model_file_by_file(tmp_path, monkeypatch, tie, limit) -> None:
    monkeypatch.setattr(export, "FILE_BYTES", limit)
    model = stub_model({"random_init": 1, "tie": tie})
    expected = {name: each.clone() for name, each in model.state_dict().items()}
    largest = max(each.nbytes for each in expected.values())
    assert goes_file_by_file(model)
    shard([model], init_device_mesh("cpu", (1,)))
    model.save_pretrained(tmp_path, state_dict={})
    write_weights(model, tmp_path)
    files = sorted(tmp_path.glob("*.safetensors"))
    assert (len(files) > 1) == (limit == 6000)
    for file in files:
        with safe_open(file, "pt") as opened:
            held = [opened.get_tensor(name).nbytes for name in opened.keys()]  # noqa: SIM118
        assert sum(held) <= max(limit, largest)
    loaded, gaps = AutoModelForCausalLM.from_pretrained(tmp_path, output_loading_info=True)
    assert not gaps["missing_keys"]
    assert not gaps["unexpected_keys"]
    found = loaded.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], each) for name, each in expected.items())
    if limit == 6000:
        index = json.loads((tmp_path / "model.safetensors.index.json").read_text())
        assert index["metadata"]["total_size"] == sum(p.nbytes for p in loaded.parameters())


def test_other_processes_hold_nothing(tmp_path, monkeypatch) -> None:
    model = stub_model({"random_init": 1})
    shard([model], init_device_mesh("cpu", (1,)))
    monkeypatch.setattr(export, "save_file", pytest.fail)
    write_weights(model, None)


def test_of_an_adapter_nothing_of_the_blocks_is_gathered() -> None:
    adapter = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    model = get_peft_model(stub_model({"random_init": 1}), adapter)
    whole = {name: each.clone() for name, each in model.state_dict().items()}
    expected = get_peft_model_state_dict(model, state_dict=dict(whole))
    shard([model], init_device_mesh("cpu", (1,)))
    state = gathered(model, first=True)
    assert not [name for name in state if "layers" in name and "lora_" not in name]
    found = get_peft_model_state_dict(model, state_dict=dict(state))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], each) for name, each in expected.items())
