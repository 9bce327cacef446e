"""Signals, kills and full disks: the last checkpoint is whole, and the run continues from it."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import lightning as L
import processes
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from rows import PACED
from short_fits import objective, qa
from stub import save_stub

from unlearnkit import UnlearningDataModule, UnlearningModule, UserError, fit
from unlearnkit.errors import Interrupted, RecipeError
from unlearnkit.runs.checkpoints import INTERVAL, WholeFiles, newest_checkpoint

STEPS = 40


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_stub({"random_init": 1, "dropout": 0.2}, tmp_path_factory.mktemp("base"))


@pytest.fixture
def start(base, written, tmp_path):
    """Runs to the end, or to what ends it; gives the weights."""
    folder = written(**PACED)

    def run(*callbacks, run_dir=tmp_path / "runs", **arguments):
        return _run(base, folder, run_dir, *callbacks, **arguments)

    return run


def _run(base, folder, run_dir, *callbacks, ckpt_path=None, accumulate=2, **arguments):
    module = UnlearningModule(
        {"forget": objective("npo"), "retain": objective("retain_kl")},
        base=str(base),
        optimizer=partial(torch.optim.AdamW, lr=1e-2),
    )
    data = UnlearningDataModule(
        {"forget": qa(folder / "forget.jsonl"), "retain": qa(folder / "retain.jsonl")},
        tokenizer=str(base),
        batch_size=1,
    )
    trainer = L.Trainer(
        accelerator="cpu", enable_progress_bar=False, enable_model_summary=False,
        max_steps=STEPS, accumulate_grad_batches=accumulate, callbacks=list(callbacks),
        **arguments,
    )  # fmt: skip
    summary = fit(module, data, trainer, recipe_name="case", run_dir=run_dir, ckpt_path=ckpt_path)
    weights = {k: v.detach().clone() for k, v in module.policy.named_parameters()}
    return weights, summary, trainer


def _run_until_killed(base, folder, run_dir) -> None:
    torch.set_num_threads(int(os.environ["UNLEARNKIT_TEST_THREADS"]))
    _run(base, folder, run_dir, ModelCheckpoint(every_n_train_steps=1), Hold())


class Raise(L.Callback):
    """Sends this process a signal in the n-th micro-batch."""

    def __init__(self, signum: int, at: int, times: int = 1) -> None:
        self.signum, self.at, self.times = signum, at, times

    def on_before_backward(self, *_) -> None:
        self.at -= 1
        if self.at == 0:
            for _ in range(self.times):
                signal.raise_signal(self.signum)


@pytest.mark.parametrize(
    ("signum", "at"), [(signal.SIGINT, 7), (signal.SIGTERM, 6), (signal.SIGTERM, 5)]
)
def test_a_signal_saves_and_the_run_ends_where_the_whole_one_ends(
    start, tmp_path, signum, at
) -> None:
    before = signal.getsignal(signal.SIGINT)  # shells ignore it for commands in the background
    whole, _, _ = start(run_dir=tmp_path / "whole")
    with pytest.raises(Interrupted, match=r"at step \d; saved .*interrupted\.ckpt") as caught:
        start(Raise(signum, at))
    assert caught.value.signum == signum
    assert signal.getsignal(signal.SIGINT) is before
    resumed, summary, _ = start(ckpt_path="last")
    assert summary.steps == STEPS
    assert all(torch.equal(resumed[key], value) for key, value in whole.items())


def test_a_second_signal_ends_at_once(start, tmp_path) -> None:
    with pytest.raises(Interrupted, match="nothing was saved"):
        start(Raise(signal.SIGINT, 3, times=2))
    assert not list(tmp_path.rglob("*.ckpt"))


class Hold(L.Callback):
    """Waits before the last step, so that no run is over before it is killed."""

    def on_train_batch_start(self, trainer, *_) -> None:
        if trainer.global_step == STEPS - 1:
            time.sleep(600)


@pytest.mark.parametrize(
    ("seed", "kills"),
    [
        (0, 2),
        pytest.param(1, 5, marks=[pytest.mark.slow, pytest.mark.ranks]),
        pytest.param(2, 13, marks=pytest.mark.slow),
    ],
)
def test_a_kill_at_any_moment_leaves_a_checkpoint_that_loads(
    start, base, written, tmp_path, seed, kills
) -> None:
    """Two kills; and twenty in all with the slow ones. Most of a step here is saving."""
    draw = random.Random(seed)
    whole, _, _ = start(run_dir=tmp_path / "whole")
    for turn in range(kills):
        run_dir = tmp_path / str(turn)
        # Not a fork of this process, whose OpenMP threads it would lack.
        process = processes.start(_run_until_killed, base, written(**PACED), run_dir).process
        while not list(run_dir.rglob("*.ckpt")):
            assert process.is_alive(), "it ended before its first checkpoint"
            time.sleep(0.001)
        time.sleep(draw.uniform(0, 0.3))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL
        newest = newest_checkpoint(run_dir)
        assert torch.load(newest, weights_only=True)["global_step"] >= 1
        resumed, summary, _ = start(run_dir=run_dir, ckpt_path="last")
        assert summary.steps == STEPS
        assert all(torch.equal(resumed[key], value) for key, value in whole.items())


def test_a_kill_amid_saving_leaves_the_checkpoint_before(tmp_path) -> None:
    path = tmp_path / "last.ckpt"
    WholeFiles().save_checkpoint({"global_step": 1}, path)

    def save_the_next() -> None:
        torch.save = lambda checkpoint, file: (file.write(b"half"), file.flush(), os._exit(9))
        WholeFiles().save_checkpoint({"global_step": 2}, path)

    process = multiprocessing.get_context("fork").Process(target=save_the_next)
    process.start()
    process.join()
    assert process.exitcode == 9
    (unfinished,) = tmp_path.glob(".last.ckpt.*.unfinished")
    assert unfinished.read_bytes() == b"half"
    assert newest_checkpoint(tmp_path) == path
    assert WholeFiles().load_checkpoint(path) == {"global_step": 1}


def test_a_full_disk_leaves_the_checkpoint_before(start, tmp_path, monkeypatch) -> None:
    written = 0
    save = torch.save

    def full(checkpoint, file) -> None:
        nonlocal written
        written += 1
        if written < 3:
            return save(checkpoint, file)
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(UserError, match=r"cannot write the checkpoint .*No space left on device"):
        start(ModelCheckpoint(every_n_train_steps=1))
    assert not list(tmp_path.rglob("*.unfinished"))
    assert torch.load(newest_checkpoint(tmp_path), weights_only=True)["global_step"] == 2


def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(UserError, match=r"cannot write the checkpoint .*a\.ckpt: "):
        WholeFiles().save_checkpoint({}, tmp_path / "file" / "a.ckpt")


def test_a_run_that_names_no_checkpoint_callback_saves_by_the_clock(start, tmp_path) -> None:
    _, _, trainer = start()
    assert trainer.checkpoint_callback._train_time_interval == INTERVAL
    assert Path(trainer.checkpoint_callback.dirpath).parent.parent == tmp_path / "runs" / "case"
    _, _, trainer = start(enable_checkpointing=False)
    assert trainer.checkpoint_callback is None
    assert not list(tmp_path.rglob("*.ckpt"))


class Stolen:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_a_pickle_is_refused_as_checkpoint(start, tmp_path) -> None:
    path = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {}, "loops": Stolen(tmp_path / "stolen")}, path)
    with pytest.raises(RecipeError, match=r"evil\.ckpt is damaged, or holds objects"):
        start(ckpt_path=str(path))
    assert not (tmp_path / "stolen").exists()


def test_a_damaged_or_missing_checkpoint_is_a_clear_error(start, tmp_path) -> None:
    path = tmp_path / "cut.ckpt"
    WholeFiles().save_checkpoint({"state_dict": {"a": torch.zeros(1000)}}, path)
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(RecipeError, match=r"cut\.ckpt is damaged"):
        start(ckpt_path=str(path))
    with pytest.raises(RecipeError, match=r"there is no file .*none\.ckpt"):
        start(ckpt_path=str(tmp_path / "none.ckpt"))
