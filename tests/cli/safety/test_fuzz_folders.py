"""A model's folder gone wrong is refused, or loaded as what it was."""

from __future__ import annotations

import logging
import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from peft import LoraConfig
from torch import Tensor

from tests.cli.safety.folders import broken
from tests.stub import stub_model, stub_tokenizer
from unlearnkit.errors import UserError
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.check import check_whole
from unlearnkit.models.digests import DIGESTS
from unlearnkit.models.fingerprint import model_fingerprint
from unlearnkit.models.load import add_adapter, load_model
from unlearnkit.runs.export import save_model


class Whole(NamedTuple):
    """A folder as it was, and the weights that it gives."""

    folder: Path
    weights: dict[str, Tensor]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> list[Whole]:
    """A model, and an adapter on it."""
    root = tmp_path_factory.mktemp("whole")
    tokenizer = stub_tokenizer()
    save_model(stub_model({"random_init": 3, "layers": 1}), tokenizer, root / "model")
    torch.manual_seed(5)
    lora = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    save_model(add_adapter(load_model(str(root / "model")), lora), tokenizer, root / "adapter")
    folders = [root / "model", root / "adapter"]
    return [Whole(each, load_model(str(each)).state_dict()) for each in folders]


def check(whole: list[Whole], work: Path, data: st.DataObject) -> None:
    """Breaks a folder, and does with it what commands do."""
    kind = whole[data.draw(st.sampled_from(range(len(whole))), label="which")]
    recorded = data.draw(st.booleans(), label="with digests")
    folder = work / "broken"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(kind.folder, folder)
    if not recorded:
        (folder / DIGESTS).unlink()
    what = broken(folder, data.draw)
    for reads in (model_fingerprint, check_whole, load_tokenizer):
        with suppress(UserError):
            reads(str(folder))
    try:
        model = load_model(str(folder))
    except UserError:
        return
    found = model.state_dict()
    if recorded:
        assert found.keys() == kind.weights.keys(), what
        assert all(torch.equal(found[key], kind.weights[key]) for key in found), what
    assert all(bool(each.isfinite().all()) for each in found.values()), what
    # What is built is what the files hold: nothing is filled at random.
    widths = {key: each.shape for key, each in found.items() if key in kind.weights}
    assert widths == {key: kind.weights[key].shape for key in widths}, what


SHARED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@seed(11)
@settings(max_examples=60, suppress_health_check=SHARED)
@given(data=st.data())
def test_model_folders(data, whole, tmp_path, caplog) -> None:
    caplog.set_level(logging.CRITICAL)
    check(whole, tmp_path, data)


@pytest.mark.slow
@settings(max_examples=5000, derandomize=False, database=None, suppress_health_check=SHARED)
@given(data=st.data())
def test_many_model_folders(data, whole, tmp_path, caplog) -> None:
    caplog.set_level(logging.CRITICAL)
    check(whole, tmp_path, data)
