"""Packing in the loader's process, from what the module hands over."""

from __future__ import annotations

import json
import os
import pickle

import lightning as L
import pytest
import torch
from stub import stub_model, stub_tokenizer

from unlearnkit.data import MismatchStream, QAStream
from unlearnkit.data.datamodule import UnlearningDataModule, datamodule_of
from unlearnkit.data.pack import Batch
from unlearnkit.data.packer import Packer
from unlearnkit.data.parts import Parts
from unlearnkit.data.sampler import StepDataset, StepLoader, StepRows, StepSampler
from unlearnkit.errors import RecipeError
from unlearnkit.module import UnlearningModule
from unlearnkit.objectives import GradientAscent, RandomMismatch


class Noting(Packer):
    """A packer that notes the process it runs in."""

    def collate(self, batches):
        parts = super().collate(batches)
        parts.process = os.getpid()
        return parts


@pytest.fixture
def data(tmp_path):
    streams = {}
    for name, letters in (("forget", "abcde"), ("retain", "edcba")):
        path = tmp_path / f"{name}.jsonl"
        rows = [{"prompt": each * 2, "response": each * 3} for each in letters]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        streams[name] = QAStream(str(path))
    streams["mismatch"] = MismatchStream(per_prompt=2)
    return UnlearningDataModule(streams, stub_tokenizer(), batch_size=2, num_workers=0)


def same(one: Batch, other: Batch) -> bool:
    tensors = [name for name, value in vars(one).items() if isinstance(value, torch.Tensor)]
    return one.examples == other.examples and all(
        torch.equal(getattr(one, name), getattr(other, name)) for name in tensors
    )


@pytest.mark.ranks
@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_batches_are_packed_in_the_loader_s_process(data, method):
    data.setup("fit")
    packer = Noting("packed", frozenset({"forget", "mismatch"}), max_tokens=12)
    rows = StepRows({name: StepDataset(data.plan, name, data.data[name], 0) for name in data.data})
    sampler = StepSampler(rows, lambda: 0)
    own = list(StepLoader(sampler, packer.collate))
    other = list(StepLoader(sampler, packer.collate, num_workers=2, multiprocessing_context=method))
    assert [each.process for each in own] == [os.getpid()] * 3
    assert len({os.getpid(), *(each.process for each in other)}) == 3
    assert max(len(each.batches) for each in own) > 1
    for one, two in zip(own, other, strict=True):
        assert all(map(same, one.batches, two.batches))
        assert len(one.batches) == len(two.batches)


def test_a_packer_travels_and_leaves_out_what_is_not_read(data):
    data.setup("fit")
    packer = Packer("rows", frozenset({"forget", "retain"}), frozenset({"retain"}))
    assert pickle.loads(pickle.dumps(packer)) == packer
    data.use(packer)
    (first, *_) = iter(data.train_dataloader())
    (batch,) = first.batches
    assert isinstance(first, Parts)
    assert batch.streams.keys() == {"forget", "retain"}
    assert batch.reference.streams.keys() == {"retain"}


@pytest.mark.parametrize("precision", ["32-true", "bf16-true"])
def test_a_fit_hands_the_packer_to_the_data_module(data, precision):
    objectives = {"forget": GradientAscent(), "mismatch": RandomMismatch()}
    module = UnlearningModule(objectives, layout="rows", max_tokens_per_micro_batch=64)
    module.use_model(stub_model({"random_init": 1}))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = L.Trainer(max_steps=1, accelerator="cpu", precision=precision, **quiet)
    trainer.fit(module, datamodule=data)
    assert data.packer == Packer("rows", frozenset(objectives), max_tokens=64)
    assert datamodule_of(trainer) is data


def test_a_trainer_without_our_data_module_says_what_it_needs():
    with pytest.raises(RecipeError, match="expected datamodule=UnlearningDataModule"):
        datamodule_of(L.Trainer(logger=False, accelerator="cpu"))


def test_a_checkpoint_alone_is_refused_with_what_loads_it():
    with pytest.raises(RecipeError, match=r"trainer\.fit\(module, datamodule=data, ckpt_path="):
        UnlearningModule.load_from_checkpoint("last.ckpt")
