"""Faults of model and data in training: a clear word, and nothing lost."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import lightning as L
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from peft import LoraConfig
from rounding import near
from short_fits import Recorder, objective, qa, stub_data, stub_module, train
from stub import BITS, NATS_PER_BIT, stub_model, stub_tokenizer

from unlearnkit import UnlearningModule
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
    with pytest.raises(RecipeError, match=r"no longer the model that was written: adapter_model"):
        start(base=summary.folder, run_dir=tmp_path / "changed")
    (summary.folder / "model" / "digests.json").unlink()
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
    assert seen[0]["retain"] == near(0.0, size=4.0)
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
    assert seen["kl"] == near(0.0, size=4.0)
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
    mended, summary = start(
        objectives={"good": objective("nll")},
        ckpt_path="last",
        measured={"resume_with_changes": True},
    )
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
