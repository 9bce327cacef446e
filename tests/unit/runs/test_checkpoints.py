from __future__ import annotations

import itertools
import multiprocessing
import os
import shutil
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, BinaryIO

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from unlearnkit.errors import RecipeError, UserError
from unlearnkit.files import whole_file
from unlearnkit.runs.checkpoints import (
    WholeFiles,
    newest_checkpoint,
    point_checkpoints_at,
    read_checkpoint,
)


def test_a_checkpoint_is_there_whole_or_not_at_all(tmp_path, monkeypatch) -> None:
    files, path = WholeFiles(), tmp_path / "new" / "a.ckpt"
    files.save_checkpoint({"x": torch.ones(2)}, path)
    assert files.load_checkpoint(path)["x"].tolist() == [1.0, 1.0]

    def full(_: object, file: BinaryIO) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match=r"a\.ckpt: No space left"):
        files.save_checkpoint({}, path)
    assert list(path.parent.iterdir()) == [path]
    assert files.load_checkpoint(path)["x"].tolist() == [1.0, 1.0]


def test_a_damaged_one_is_refused(tmp_path) -> None:
    (tmp_path / "a.ckpt").write_bytes(b"no checkpoint")
    with pytest.raises(RecipeError, match="is damaged"):
        WholeFiles().load_checkpoint(tmp_path / "a.ckpt")


def test_the_newest_of_all_folders_is_found(tmp_path) -> None:
    with pytest.raises(UserError, match="no checkpoint to resume from"):
        newest_checkpoint(tmp_path)
    for age, name in ((5, "a/x.ckpt"), (1, "b/c/y.ckpt"), (3, "z.ckpt")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, ns=(10**18 - age, 10**18 - age))
    assert newest_checkpoint(tmp_path) == tmp_path / "b" / "c" / "y.ckpt"


def test_lightnings_own_callback_saves_by_the_clock_and_others_as_they_say(tmp_path) -> None:
    asked = ModelCheckpoint(every_n_train_steps=2)
    trainer = L.Trainer(accelerator="cpu", logger=False, callbacks=[asked])
    point_checkpoints_at(trainer, tmp_path)
    assert asked.dirpath == str(tmp_path)
    assert isinstance(trainer.strategy.checkpoint_io, WholeFiles)
    trainer = L.Trainer(accelerator="cpu", logger=False)
    point_checkpoints_at(trainer, tmp_path)
    (found,) = trainer.checkpoint_callbacks
    assert found._train_time_interval == timedelta(minutes=15)


def test_a_checkpoint_that_is_removed_meanwhile_is_none(tmp_path, monkeypatch) -> None:
    for number, name in enumerate(("a", "b")):
        (tmp_path / f"{name}.ckpt").touch()
        os.utime(tmp_path / f"{name}.ckpt", (number, number))
    stat = Path.stat

    def removed(path: Path, **options: Any) -> os.stat_result:
        if path.name == "b.ckpt":
            path.unlink(missing_ok=True)
        return stat(path, **options)

    monkeypatch.setattr(Path, "stat", removed)
    assert newest_checkpoint(tmp_path) == tmp_path / "a.ckpt"


def test_one_that_is_removed_before_it_is_read_is_told_as_that(tmp_path) -> None:
    for read in (read_checkpoint, WholeFiles().load_checkpoint):
        with pytest.raises(RecipeError, match=r"gone\.ckpt is no longer there"):
            read(tmp_path / "gone.ckpt")


def test_the_newest_is_found_while_another_process_writes_and_removes_them(tmp_path) -> None:
    writer = multiprocessing.get_context("fork").Process(target=_write_and_remove, args=(tmp_path,))
    (tmp_path / "kept.ckpt").touch()
    writer.start()
    try:
        for _ in range(300):
            assert newest_checkpoint(tmp_path).suffix == ".ckpt"
    finally:
        writer.kill()
        writer.join()


def _write_and_remove(folder: Path) -> None:
    for number in itertools.count():
        inside = folder / f"run{number % 3}" / "checkpoints"
        with suppress(FileNotFoundError):
            inside.mkdir(parents=True, exist_ok=True)
            with whole_file(inside / "step.ckpt") as unfinished:
                unfinished.touch()
        shutil.rmtree(inside.parent, ignore_errors=True)
