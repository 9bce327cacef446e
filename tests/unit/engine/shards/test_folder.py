from __future__ import annotations

import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from unlearnkit.engine.shards import folder as folders
from unlearnkit.engine.shards.folder import (
    LIST,
    PLAIN,
    as_bytes,
    complete,
    digests_of,
    discard,
    identity_of,
    is_folder_of_shards,
    plain_part,
    put_in_place,
    refuse_damaged_shards,
)
from unlearnkit.errors import RecipeError


def _written(folder: Path, step: int = 1) -> Path:
    """A whole checkpoint of two shards."""
    folder.mkdir()
    for number in (1, 2):
        save_file({"w": torch.full((64,), float(step))}, folder / f"shard-{number}.safetensors")
    complete(folder, as_bytes({"step": step}), digests_of(folder.glob("*.safetensors")))
    return folder


def test_a_folder_is_a_checkpoint_once_its_list_is_there(tmp_path) -> None:
    made = _written(tmp_path / "a.ckpt")
    refuse_damaged_shards(made)
    assert is_folder_of_shards(made)
    assert plain_part(made) == {"step": 1}
    assert identity_of(made) != identity_of(_written(tmp_path / "b.ckpt", step=2))
    (made / LIST).unlink()
    assert not is_folder_of_shards(made)
    for read in (plain_part, refuse_damaged_shards):
        with pytest.raises(RecipeError, match=r"is no whole checkpoint: checkpoint\.json"):
            read(made)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda made: _flip(made / "shard-1.safetensors"), r"shard-1\.safetensors \(changed\)"),
        (lambda made: _flip(made / PLAIN), r"plain\.pt \(changed\)"),
        (lambda made: (made / "shard-2.safetensors").unlink(), r"shard-2\S+ \(missing\)"),
        (
            lambda made: (made / "shard-3.safetensors").write_bytes(b""),
            r"shard-3\S+ \(not in its list\)",
        ),
        (lambda made: _list(made, "../a.ckpt/plain.pt"), r"plain\.pt \(outside of the folder\)"),
    ],
)
def test_what_is_not_as_it_was_written_is_refused(tmp_path, spoil, said) -> None:
    made = _written(tmp_path / "a.ckpt")
    spoil(made)
    with pytest.raises(RecipeError, match=said):
        refuse_damaged_shards(made)


def test_a_pickle_is_not_read(tmp_path) -> None:
    made = tmp_path / "a.ckpt"
    made.mkdir()
    complete(made, pickle.dumps(os.system, protocol=2), {})
    with pytest.raises(RecipeError, match="could run code"):
        plain_part(made)


@pytest.mark.parametrize("fails", range(1, 4))
def test_at_every_moment_of_a_replacement_there_is_a_whole_one(
    tmp_path, monkeypatch, fails
) -> None:
    """The renames are those of the one before, of the new one, and of what is removed."""
    path = _written(tmp_path / "last.ckpt")
    unfinished = _written(tmp_path / ".last", step=2)
    rename, calls = Path.rename, []

    def stops(self: Path, target: Path) -> Path:
        calls.append(target)
        if len(calls) == fails:
            raise KeyboardInterrupt
        return rename(self, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", stops)
        with pytest.raises(KeyboardInterrupt):
            put_in_place(unfinished, path)
    there = list(tmp_path.glob("*.ckpt"))
    assert there
    for each in there:
        refuse_damaged_shards(each)
    steps = [plain_part(each)["step"] for each in there]
    assert max(steps) == (2 if fails == 3 else 1)
    # The next one goes on from there.
    put_in_place(_written(tmp_path / ".again", step=3), path)
    assert plain_part(path) == {"step": 3}


def test_a_checkpoint_takes_the_place_of_one_of_another_kind(tmp_path) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(b"a whole file")
    put_in_place(_written(tmp_path / ".last", step=2), path)
    assert [each.name for each in tmp_path.glob("*.ckpt")] == ["last.ckpt"]
    assert plain_part(path) == {"step": 2}


def test_what_a_stopped_removal_leaves_is_no_checkpoint(tmp_path, monkeypatch) -> None:
    path = _written(tmp_path / "a.ckpt")
    monkeypatch.setattr(folders.shutil, "rmtree", lambda *_, **__: None)
    discard(path)
    assert not list(tmp_path.rglob("*.ckpt"))


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def _list(made: Path, name: str) -> None:
    listed = json.loads((made / LIST).read_text())
    listed["sha256"][name] = listed["sha256"][PLAIN]
    (made / LIST).write_text(json.dumps(listed))
