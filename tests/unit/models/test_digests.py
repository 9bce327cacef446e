from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from unlearnkit.edits import Negate
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.digests import DIGESTS, record_digests, refuse_changed
from unlearnkit.models.load import load_config, load_model
from unlearnkit.runs.export import export, save_model


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("digests") / "model"
    save_model(load_model("tiny"), load_tokenizer("tiny"), folder)
    return folder


@pytest.fixture
def model(saved, tmp_path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "model"))


def test_a_saved_model_is_loaded_and_one_changed_bit_of_a_weight_is_refused(model) -> None:
    load_model(str(model))
    file = model / "model.safetensors"
    content = bytearray(file.read_bytes())
    content[-100] ^= 1  # a finite weight becomes another finite weight
    file.write_bytes(content)
    assert all(bool(each.isfinite().all()) for each in load_file(file).values())
    with pytest.raises(RecipeError, match=r"written: model\.safetensors \(changed\)"):
        load_model(str(model))
    (model / DIGESTS).unlink()
    load_model(str(model))


def test_a_changed_config_is_refused_before_weights_are_read(model) -> None:
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config))  # the same, in another form
    load_config(str(model))
    (model / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.5}))
    with pytest.raises(RecipeError, match=r"config\.json \(changed\)"):
        load_config(str(model))


def test_missing_added_and_outside_files_are_told(model) -> None:
    (model / "tokenizer.json").unlink()
    save_file({"a": torch.ones(1)}, model / "other.safetensors")
    with pytest.raises(RecipeError, match=r"tokenizer\.json \(missing\), other.* \(added\)"):
        refuse_changed(model)
    (model / DIGESTS).write_text('{"sha256": {"../x": "0"}}')
    with pytest.raises(RecipeError, match="outside of the folder"):
        refuse_changed(model)
    for broken in ("{", "[]", '{"sha256": 3}', "[" * 100_000):
        (model / DIGESTS).write_text(broken)
        with pytest.raises(RecipeError, match="is broken"):
            refuse_changed(model)


def test_an_adapter_may_point_at_a_base_that_was_moved(tmp_path) -> None:
    file = tmp_path / "adapter_config.json"
    file.write_text('{"r": 4, "base_model_name_or_path": "old"}')
    record_digests(tmp_path)
    file.write_text('{"r": 4, "base_model_name_or_path": "new"}')
    refuse_changed(tmp_path)
    file.write_text('{"r": 8, "base_model_name_or_path": "new"}')
    with pytest.raises(RecipeError, match="changed"):
        refuse_changed(tmp_path)


def test_an_export_is_recorded_and_refuses_a_changed_model(model, tmp_path) -> None:
    copied = export(model, tmp_path / "copy")
    assert (copied / DIGESTS).read_text() == (model / DIGESTS).read_text()
    with (model / "model.safetensors").open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"\x00\x00\x00\x3f")
    with pytest.raises(RecipeError, match=r"RUN: .*\(changed\)"):
        export(model, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_links_out_of_a_folder_are_not_followed(model, tmp_path) -> None:
    secret = tmp_path / "passwd"
    secret.write_text("UNGUESSABLE")
    (model / "vocab.txt").symlink_to(secret)
    for copy in (
        lambda out: export(model, out),
        lambda out: export(model, out, merge=True),
        lambda out: Negate(str(model), [str(model)]).write(out),
    ):
        with pytest.raises(UserError, match=r"links that lead out of it.*: vocab\.txt"):
            copy(tmp_path / "out")
        assert not (tmp_path / "out").exists()
    (model / "vocab.txt").unlink()
    (model / "vocab.txt").symlink_to("tokenizer.json")
    export(model, tmp_path / "out")


def test_a_snapshot_of_the_hub_s_cache_may_be_copied(saved, tmp_path) -> None:
    repository = tmp_path / "models--a--b"
    shutil.copytree(saved, repository / "blobs")
    snapshot = repository / "snapshots" / "0a"
    snapshot.mkdir(parents=True)
    for file in (repository / "blobs").iterdir():
        (snapshot / file.name).symlink_to(f"../../blobs/{file.name}")
    assert (export(snapshot, tmp_path / "out") / "model.safetensors").is_file()
