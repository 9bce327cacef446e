"""Faults of model, data and disk in training: a clear word, and nothing lost."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import lightning as L
import pytest
import torch
from cases.runs import Recorder, objective, qa, stub_data, stub_module, train
from lightning.pytorch.callbacks import ModelCheckpoint
from peft import LoraConfig
from stub import BITS, NATS_PER_BIT, save_stub, stub_model, stub_tokenizer

from unlearnkit import UnlearningDataModule, UnlearningModule, UserError, fit
from unlearnkit.callbacks.collapse_stop import TrainingDiverged
from unlearnkit.errors import RecipeError
from unlearnkit.objectives.base import Objective
from unlearnkit.runs.checkpoints import newest_checkpoint
from unlearnkit.suites.copyright import Copyright

LORA = LoraConfig(r=2, target_modules=["q_proj"])
EACH_STEP = partial(ModelCheckpoint, every_n_train_steps=1)


def _file(folder: Path, name: str, rows: list[tuple[str, str]]) -> Path:
    path = folder / f"{name}.jsonl"
    path.write_text("\n".join(json.dumps({"prompt": p, "response": r}) for p, r in rows))
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> Path:
    return save_stub({"random_init": 1}, tmp_path_factory.mktemp("base"))


@pytest.fixture
def start(base, tmp_path):
    """Runs on small files; gives the module and the summary."""
    streams = {
        "forget": _file(tmp_path, "forget", [("a", "cd"), ("b", "ee"), ("c", "da")]),
        "retain": _file(tmp_path, "retain", [("c", "ab"), ("d", "ba"), ("e", "cab")]),
    }

    def run(*callbacks, objectives=None, base=base, tokenizer=None, optimizer=None, ckpt_path=None,
            run_dir=tmp_path / "runs", max_steps=6, measured=None, **arguments):  # fmt: skip
        module = UnlearningModule(
            objectives or {"forget": objective("npo"), "retain": objective("retain_kl")},
            base=str(base),
            optimizer=optimizer or partial(torch.optim.AdamW, lr=1e-2),
            **arguments,
        )
        data = UnlearningDataModule(
            {name: qa(path) for name, path in streams.items()},
            tokenizer=tokenizer or str(base),
            batch_size=1,
        )
        trainer = L.Trainer(
            accelerator="cpu", enable_progress_bar=False, enable_model_summary=False,
            max_steps=max_steps, callbacks=list(callbacks),
        )  # fmt: skip
        summary = fit(module, data, trainer, recipe_name="case", run_dir=run_dir,
                      ckpt_path=ckpt_path, **(measured or {}))  # fmt: skip
        return module, summary

    return run


def _weights(module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in module.policy.parameters()]).clone()


# The model


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_weights_that_are_not_finite_are_named_at_load(start, tmp_path, value, lora) -> None:
    model = stub_model({"random_init": 1})
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 4] = value
    model.save_pretrained(tmp_path / "broken")
    stub_tokenizer().save_pretrained(tmp_path / "broken")
    with pytest.raises(RecipeError, match=r"NaN or infinite: model\.layers\.1\.mlp\.up_proj"):
        start(base=tmp_path / "broken", lora=lora)
    assert not list(tmp_path.rglob("summary.json"))


def test_an_adapter_that_is_not_finite_is_refused_as_base(start, tmp_path) -> None:
    module, summary = start(lora=LORA, max_steps=1)
    with torch.no_grad():
        next(p for n, p in module.policy.named_parameters() if "lora_B" in n).fill_(torch.nan)
    module.policy.save_pretrained(summary.folder / "model")
    with pytest.raises(RecipeError, match=r"NaN or infinite: .*q_proj"):
        start(base=summary.folder, run_dir=tmp_path / "second")


def test_a_model_in_memory_that_gives_nan_is_refused() -> None:
    model = stub_model({"random_init": 1})
    with torch.no_grad():
        model.lm_head.weight.fill_(torch.nan)
    with pytest.raises(RecipeError, match="the logits of LlamaForCausalLM are NaN"):
        UnlearningModule({"forget": objective("nll")}).use_model(model)


def test_a_vocabulary_larger_than_the_tokenizer_s_trains(start, tmp_path) -> None:
    """As most models have it, whose head is padded to a multiple of 64."""
    model = stub_model()
    model.resize_token_embeddings(16, mean_resizing=False)
    with torch.no_grad():  # 6 more tokens of 4 bits each
        model.lm_head.weight[10:] = -4 * NATS_PER_BIT / model.config.hidden_size
    model.save_pretrained(tmp_path / "larger")
    stub_tokenizer().save_pretrained(tmp_path / "larger")
    recorder = Recorder()
    still = partial(torch.optim.SGD, lr=0.0)
    _, summary = start(recorder, base=tmp_path / "larger", optimizer=still, max_steps=1)
    assert (summary.folder / "model" / "model.safetensors").exists()
    (row,) = recorder.rows[0]["forget"]
    response = ["cd", "ee", "da"][row]
    costs = [*map(BITS.get, response), BITS["<eos>"]]
    whole = sum(2.0**-bits for bits in BITS.values()) + 6 * 2.0**-4
    nll = sum(bits * NATS_PER_BIT + torch.log(torch.tensor(whole)) for bits in costs) / len(costs)
    assert recorder.figures[0]["forget_nll"] == pytest.approx(float(nll), rel=1e-5)


def test_tokens_that_the_model_never_says_leave_kl_and_entropy_finite(tmp_path) -> None:
    """A head may forbid tokens, such as those that pad its vocabulary, by a bias of -inf."""

    class Forbids(torch.nn.Linear):
        def forward(self, x):
            return super().forward(x).index_fill(-1, torch.tensor([1]), -torch.inf)

    def fitted(model):
        terms = {"forget": objective("npo"), "retain": objective("retain_kl")}
        module = UnlearningModule(
            terms, optimizer=partial(torch.optim.SGD, lr=1.0), schedule="constant"
        )
        module.use_model(model)
        streams = {
            "forget": qa(_file(tmp_path, "forget", [("a", "cd"), ("b", "ee")])),
            "retain": qa(_file(tmp_path, "retain", [("c", "ab"), ("d", "ba")])),
        }
        seen = train(module, stub_data(streams, batch_size=2), max_steps=3).figures
        return module, seen

    model = stub_model({"random_init": 1})
    model.lm_head.__class__ = Forbids
    module, seen = fitted(model)
    assert seen[0]["retain"] == pytest.approx(0.0, abs=1e-6)
    assert seen[2]["retain"] > 1e-4
    assert torch.isfinite(_weights(module)).all()
    hidden = torch.randn(3, 16, generator=torch.Generator().manual_seed(0))
    logits = torch.nn.functional.linear(hidden, model.lm_head.weight)
    said = logits[:, [0, *range(2, 10)]].softmax(-1)
    entropy = -(said * said.log()).sum(-1)
    assert torch.allclose(module.head.entropy(hidden), entropy, atol=1e-5)


@pytest.fixture
def not_loaded(monkeypatch) -> None:
    def never(*arguments):
        pytest.fail("the model was loaded")

    monkeypatch.setattr("unlearnkit.module.load_model", never)


@pytest.mark.usefixtures("not_loaded")
def test_a_vocabulary_smaller_than_the_tokenizer_s_is_refused(start, tmp_path) -> None:
    model = stub_model()
    model.resize_token_embeddings(8)
    model.save_pretrained(tmp_path / "smaller")
    stub_tokenizer().save_pretrained(tmp_path / "smaller")
    with pytest.raises(RecipeError, match="it has 10 tokens, but the model's vocabulary is 8"):
        start(base=tmp_path / "smaller")


def _reordered() -> dict[str, int]:
    names = list(BITS)
    return {name: BITS[name] for name in [*names[:4], *reversed(names[4:])]}


@pytest.mark.usefixtures("not_loaded")
def test_a_tokenizer_with_other_ids_than_the_model_s_is_refused(start, tmp_path) -> None:
    other = stub_tokenizer({"bits": _reordered()})
    with pytest.raises(RecipeError, match=r"6 tokens have other ids .* such as ' ': 4, not 9"):
        start(tokenizer=other)
    stub_model().save_pretrained(tmp_path / "gold")
    other.save_pretrained(tmp_path / "gold")
    with pytest.raises(RecipeError, match="than in the tokenizer of gold"):
        start(measured={"gold": str(tmp_path / "gold"), "evaluate": [Copyright()]})


def test_a_renamed_token_is_no_other_id(start) -> None:
    renamed = {("e" if name == "e" else name).replace(" ", "z"): v for name, v in BITS.items()}
    _, summary = start(tokenizer=stub_tokenizer({"bits": renamed}), max_steps=1)
    assert summary.steps == 1


# The data


def test_responses_of_one_token_have_the_loss_of_that_token(tmp_path) -> None:
    rows = [("a", "b"), ("a", "d")]
    streams = {name: qa(_file(tmp_path, name, rows)) for name in ("forget", "retain")}
    terms = {
        "ascent": objective("gradient_ascent"),
        "retain": objective("retain_nll"),
        "npo": objective("npo"),
        "simnpo": objective("simnpo"),
        "kl": objective("retain_kl"),
    }
    spec = {"eos": None}  # so that a response of one letter is one token
    recorder = train(
        stub_module(terms, spec, reference="frozen"),
        stub_data(streams, spec, batch_size=2),
        max_steps=1,
    )
    (seen,) = recorder.figures
    mean = (BITS["b"] + BITS["d"]) / 2 * NATS_PER_BIT
    assert seen["retain"] == pytest.approx(mean, rel=1e-5)
    assert seen["ascent"] == pytest.approx(-mean, rel=1e-5)
    assert seen["kl"] == pytest.approx(0.0, abs=1e-6)
    assert all(map(torch.isfinite, map(torch.tensor, seen.values())))


def test_one_forget_row_is_an_epoch_and_the_others_flow_on(tmp_path) -> None:
    streams = {
        "forget": qa(_file(tmp_path, "forget", [("a", "cd")])),
        "retain": qa(_file(tmp_path, "retain", [(letter, "ab") for letter in "abcde"])),
    }
    terms = {"forget": objective("npo"), "retain": objective("retain_kl")}
    recorder = train(
        stub_module(terms, {"random_init": 1}, lr=0.1), stub_data(streams, batch_size=2),
        max_epochs=5,
    )  # fmt: skip
    assert [step["forget"] for step in recorder.rows] == [(0,)] * 5
    assert sorted(row for step in recorder.rows for row in step["retain"]) == sorted(
        [*range(5)] * 2
    )


def test_a_forget_set_a_thousand_times_the_retain_set(tmp_path) -> None:
    letters = "abcde"
    rows = [(letters[i % 5], letters[i // 5 % 5] + "cd") for i in range(4000)]
    streams = {
        "forget": qa(_file(tmp_path, "forget", rows)),
        "retain": qa(_file(tmp_path, "retain", [(letter, "ab") for letter in "abcd"])),
    }
    terms = {"forget": objective("npo"), "retain": objective("retain_kl")}
    data = stub_data(streams, batch_size=500)
    recorder = train(stub_module(terms, {"random_init": 1}, lr=0.1), data, max_epochs=1)
    assert sorted(row for step in recorder.rows for row in step["forget"]) == list(range(4000))
    drawn = [row for step in recorder.rows for row in step["retain"]]
    assert [drawn.count(row) for row in range(4)] == [1000] * 4
    assert all(torch.isfinite(torch.tensor(step["total"])) for step in recorder.figures)


# The loss


class _Breaks(Objective):
    """A loss that is not finite after so many calls."""

    def __init__(self, weight: float = 1.0, stream: str | None = None, after: int = 0) -> None:
        super().__init__(weight, stream)
        self.left = after

    def forward(self, views):
        loss = views[self.stream].logps.sum()
        self.left -= 1
        return loss if self.left >= 0 else loss * torch.inf


def test_the_objective_and_the_step_are_named_and_the_checkpoint_before_it_is_there(
    start, tmp_path
) -> None:
    terms = {"good": objective("nll"), "bad": _Breaks(after=3), "worse": _Breaks(after=3)}
    with pytest.raises(TrainingDiverged, match=r"^step 3: bad is -?inf, worse is -?inf") as caught:
        start(EACH_STEP(), objectives=terms)
    newest = newest_checkpoint(tmp_path / "runs")
    assert torch.load(newest, weights_only=True)["global_step"] == 3
    assert caught.value.hint is not None
    assert f"The last checkpoint before it is {newest}." in caught.value.hint
    assert "Lower the learning rate" in caught.value.hint
    assert not list(tmp_path.rglob("runs/**/model"))
    mended, summary = start(objectives={"good": objective("nll")}, ckpt_path="last")
    assert summary.steps == 6
    assert torch.isfinite(_weights(mended)).all()


def test_a_loss_that_is_broken_from_the_start_is_not_put_down_to_the_learning_rate(start) -> None:
    with pytest.raises(TrainingDiverged, match=r"^step 0: bad is") as caught:
        start(objectives={"bad": _Breaks()})
    assert caught.value.step == 0
    assert caught.value.hint is not None
    assert "learning rate" not in caught.value.hint
    assert "No checkpoint had been written yet." in caught.value.hint


class _Poison(L.Callback):
    """Makes a weight NaN after so many steps, as an optimizer of one's own may."""

    def __init__(self, after: int) -> None:
        self.after = after

    @torch.no_grad()
    def on_train_batch_end(self, trainer, pl_module, *_) -> None:
        if trainer.global_step == self.after:
            next(pl_module.policy.parameters()).view(-1)[0] = torch.nan


def test_broken_weights_never_take_the_place_of_a_good_checkpoint(start, tmp_path) -> None:
    with pytest.raises(TrainingDiverged, match=r"^step 4: weights are NaN or infinite .*embed"):
        start(_Poison(after=4), EACH_STEP())
    (path,) = tmp_path.rglob("*.ckpt")
    saved = torch.load(path, weights_only=True)
    assert saved["global_step"] == 3
    assert all(torch.isfinite(weight).all() for weight in saved["state_dict"].values())
    assert not list(tmp_path.rglob("*.unfinished"))
    whole, _ = start(run_dir=tmp_path / "whole")
    resumed, _ = start(EACH_STEP(), ckpt_path="last")
    assert torch.equal(_weights(resumed), _weights(whole))


def test_broken_weights_at_the_end_are_no_model(start, tmp_path) -> None:
    with pytest.raises(TrainingDiverged, match=r"^step 6: weights are NaN or infinite"):
        start(_Poison(after=6))
    assert not list(tmp_path.rglob("runs/**/model"))


# The disk

LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
from unlearnkit.cli.main import main
sys.exit(main(sys.argv[2:]))
"""
RECIPE = """\
model:
  base: {base}
  optimizer: {{name: AdamW, lr: 1.0e-2}}
  objectives: {{forget: {{name: npo}}, retain: {{name: retain_kl}}}}
data:
  batch_size: 1
  streams:
    forget: {{name: qa, path: forget.jsonl}}
    retain: {{name: qa, path: retain.jsonl}}
trainer:
  max_steps: 6
  accelerator: cpu
  enable_progress_bar: false
  callbacks: [{{class_path: ModelCheckpoint, init_args: {{every_n_train_steps: 2}}}}]
evaluate: []
"""


@pytest.fixture
def limited(base, start, tmp_path):
    """Runs the command where no file may grow beyond so many bytes."""
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(base=base))

    def run(size: int, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", LIMITED, str(size), "fit", "-r", "recipe.yaml", *words],
            cwd=tmp_path, timeout=120, capture_output=True, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "300"},
        )  # fmt: skip

    return run


def test_a_file_that_the_system_cuts_off_is_a_clear_error_and_leaves_nothing(
    limited, tmp_path
) -> None:
    done = limited(60_000)
    assert done.returncode == 2, done.stderr
    assert "cannot write the checkpoint" in done.stderr
    assert "File too large" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("*.ckpt"))
    assert not list(tmp_path.rglob("*.unfinished"))
    done = limited(10**9)
    assert done.returncode == 0, done.stderr


class _Fill(L.Callback):
    """From a step on the disk is full for every file that is opened to be written."""

    def __init__(self, monkeypatch, at: int, name: str) -> None:
        self.monkeypatch, self.at, self.name = monkeypatch, at, name

    def on_train_batch_start(self, trainer, *_) -> None:
        if trainer.global_step != self.at:
            return
        real = open

        def full(path, mode="r", *arguments, **options):
            if self.name in str(path) and set(mode) & set("wxa"):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
            return real(path, mode, *arguments, **options)

        self.monkeypatch.setattr("builtins.open", full)


def test_a_full_disk_under_the_log_ends_the_run_with_its_checkpoint(
    start, tmp_path, monkeypatch
) -> None:
    whole, _ = start(run_dir=tmp_path / "whole")
    with pytest.raises(UserError, match=r"cannot write to .*metrics\.csv: No space") as caught:
        start(_Fill(monkeypatch, 4, "metrics.csv"), EACH_STEP())
    monkeypatch.undo()
    newest = newest_checkpoint(tmp_path / "runs")
    assert (
        caught.value.hint
        == f"Once it can be written to, go on from {newest} with --ckpt_path last."
    )
    resumed, summary = start(EACH_STEP(), ckpt_path="last")
    assert summary.steps == 6
    assert torch.equal(_weights(resumed), _weights(whole))


def test_a_full_disk_under_a_checkpoint_and_the_run_goes_on_to_the_same_end(
    start, tmp_path, monkeypatch
) -> None:
    whole, _ = start(run_dir=tmp_path / "whole")
    save = torch.save

    def full(checkpoint, file) -> None:
        if checkpoint["global_step"] < 3:
            return save(checkpoint, file)
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("torch.save", full)
    with pytest.raises(UserError, match="No space left on device") as caught:
        start(EACH_STEP())
    monkeypatch.undo()
    newest = newest_checkpoint(tmp_path / "runs")
    assert str(newest) in str(caught.value)
    assert torch.load(newest, weights_only=True)["global_step"] == 2
    resumed, _ = start(EACH_STEP(), ckpt_path="last")
    assert torch.equal(_weights(resumed), _weights(whole))


class _Block(L.Callback):
    """Puts a file where the checkpoints would go next, so that nobody can write there."""

    def on_train_batch_start(self, trainer, *_) -> None:
        if trainer.global_step == 3:
            folder = Path(trainer.checkpoint_callback.dirpath)
            folder.rename(folder.with_name("moved"))
            folder.write_text("in the way")


def test_a_checkpoint_folder_that_cannot_be_written_any_more(start, tmp_path) -> None:
    whole, _ = start(run_dir=tmp_path / "whole")
    with pytest.raises(UserError, match=r"cannot write the checkpoint .*step=4\.ckpt"):
        start(_Block(), EACH_STEP())
    resumed, _ = start(EACH_STEP(), ckpt_path="last")
    assert torch.equal(_weights(resumed), _weights(whole))


def test_a_model_that_cannot_be_saved_leaves_the_checkpoint_to_go_on_from(
    start, tmp_path, monkeypatch
) -> None:
    def full(self, folder, *arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("transformers.PreTrainedModel.save_pretrained", full)
    with pytest.raises(UserError, match="cannot save the model") as caught:
        start(EACH_STEP())
    monkeypatch.undo()
    newest = newest_checkpoint(tmp_path / "runs")
    assert caught.value.hint is not None
    assert str(newest) in caught.value.hint
    resumed, summary = start(ckpt_path="last")
    assert summary.steps == 6
    whole, _ = start(run_dir=tmp_path / "whole")
    assert torch.equal(_weights(resumed), _weights(whole))


def test_too_little_room_for_the_model_is_told_before_the_training(
    start, tmp_path, monkeypatch
) -> None:
    usage = type("Usage", (), {"free": 20_000})
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)
    with pytest.raises(UserError, match="what is trained takes 22 KiB, and 20 KiB are free"):
        start(EACH_STEP())
    assert not list(tmp_path.rglob("*.ckpt"))
    _, summary = start(lora=LORA, max_steps=1)  # an adapter is small
    assert summary.steps == 1
