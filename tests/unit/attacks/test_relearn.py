"""What the attacker trains of each kind of model, held against plain transformers."""

from __future__ import annotations

import pytest
import torch
from edited import erase_model, o3_model, uld_model, whp_model
from peft import LoraConfig, PeftModel, get_peft_model
from stub import save_stub, stub_tokenizer
from transformers import AutoModelForCausalLM

from unlearnkit.attacks import Relearn, Target
from unlearnkit.attacks import relearn as module
from unlearnkit.data.example import Example
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import UserError
from unlearnkit.suites import SuiteContext

BOS, EOS, LR = 2, 3, 1e-3
HELD = Example((BOS, 4, 5), (6, 7, EOS), 0, "f:1")
OTHER = Example((BOS, 6, 5), (4, EOS), 1, "f:2")
ALL = [[4, 4, 5, 4], [4, 5, 5], [5, 4, 4, 4, 5], [4, 5], [5, 5, 4, 5], [BOS, 4, 5], [BOS, 6, 5]]


@pytest.fixture
def base(tmp_path):
    return str(save_stub({"random_init": 1}, tmp_path / "base"))


@pytest.fixture
def relearned(monkeypatch):
    """Weights before and after one step on one row, by name."""

    def run(base, *, steps=1):
        seen = []

        def record(model, tokenizer, examples, context):
            seen.append({name: value.detach().clone() for name, value in model.named_parameters()})
            return {}

        monkeypatch.setattr(module, "measure", record)
        target = Target(
            [HELD, OTHER], Codec(stub_tokenizer(), 64), SuiteContext(max_length=64), None
        )
        attack = Relearn(rows=1, steps=steps, every=1, lr=LR, seed=0)
        rows = attack.prepare(target)
        rows.held[:], rows.others[:] = [HELD], [OTHER]
        attack.run(base, rows, target)
        return seen[0], seen[-1], attack.changes(base)

    return run


def changed(before, after):
    return {name for name in before if not torch.equal(before[name], after[name])}


def stepped(model, trained, ids, labels):
    """One step of AdamW by plain transformers and torch."""
    for name, weight in model.named_parameters():
        weight.requires_grad_(name in trained)
    optimizer = torch.optim.AdamW([w for w in model.parameters() if w.requires_grad], LR)
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.0
    model.train()
    model(torch.tensor([ids]), labels=torch.tensor([labels])).loss.backward()
    optimizer.step()
    return dict(model.named_parameters())


def test_all_weights_of_an_ordinary_model_are_trained(base, relearned):
    before, after, what = relearned(base)
    assert what == "all weights"
    assert changed(before, after) == set(before)


def test_the_base_is_trained_below_the_context(base, relearned, tmp_path):
    rows = [Example((BOS, 7), (8, EOS), 0, "e:1"), Example((BOS, 8), (9, EOS), 1, "e:2")]
    erase_model(base, rows, tmp_path / "out", k=2, separator=" ")
    before, after, what = relearned(str(tmp_path / "out"))
    assert what == "the base below the context"
    plain = AutoModelForCausalLM.from_pretrained(base)
    made = module.load_model(str(tmp_path / "out"))
    context = made.context.tolist()
    ids = [*context, *HELD.prompt_ids[1:], *HELD.response_ids]  # one BOS, the context's
    labels = [-100] * (len(ids) - 3) + [*HELD.response_ids]
    expected = stepped(plain, set(dict(plain.named_parameters())), ids, labels)
    assert changed(before, after) == {f"base.{name}" for name in expected}
    for name, weight in expected.items():
        torch.testing.assert_close(after[f"base.{name}"], weight, rtol=0, atol=LR / 50)


def test_the_base_is_trained_below_the_gate_and_its_adapters_are_not(base, relearned, tmp_path):
    pytest.importorskip("sklearn")
    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    model = AutoModelForCausalLM.from_pretrained(base)
    get_peft_model(model, config).save_pretrained(tmp_path / "a")
    # Every prompt is the request's, and the gate is whole or not there.
    o3_model(base, [tmp_path / "a"], [ALL], tmp_path / "out", gate="hard", threshold=1e-9)
    before, after, what = relearned(str(tmp_path / "out"), steps=2)
    assert what == "the base below the gate"
    moved = changed(before, after)
    assert moved == {name for name in before if "lora_" not in name}
    before, after, _ = relearned(str(tmp_path / "out"))
    plain = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), tmp_path / "a")
    trained = {name for name, _ in plain.named_parameters() if "lora_" not in name}
    ids = [*HELD.prompt_ids, *HELD.response_ids]
    labels = [-100] * len(HELD.prompt_ids) + [*HELD.response_ids]
    expected = stepped(plain, trained, ids, labels)
    for name in trained:
        ours = f"gated.{name}"
        torch.testing.assert_close(after[ours], expected[name], rtol=0, atol=LR / 50)


@pytest.mark.parametrize("kind", ["uld", "whp"])
def test_of_several_models_the_own_part_is_trained_or_else_the_base(
    base, relearned, tmp_path, kind
):
    other = str(save_stub({"random_init": 2}, tmp_path / "other"))
    (uld_model if kind == "uld" else whp_model)(base, other, tmp_path / "out")
    before, after, what = relearned(str(tmp_path / "out"))
    part = "assistant" if kind == "uld" else "base"
    assert what == ("the assistant" if kind == "uld" else "the base below the rule")
    assert changed(before, after) == {n for n in before if n.startswith(f"parts.{part}.")}


def test_an_opened_base_is_in_memory_alone(base, relearned, tmp_path):
    other = str(save_stub({"random_init": 2}, tmp_path / "other"))
    whp_model(base, other, tmp_path / "out")
    files = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    relearned(str(tmp_path / "out"))
    assert {path: path.read_bytes() for path in files} == files
    assert not any(w.requires_grad for w in module.load_model(str(tmp_path / "out")).parameters())


def test_an_adapter_is_trained_in_place_of_the_weights_at_the_steps_named(base, monkeypatch):
    seen = []

    def record(model, tokenizer, examples, context):
        seen.append({name: value.detach().clone() for name, value in model.named_parameters()})
        return {}

    monkeypatch.setattr(module, "measure", record)
    target = Target([HELD, OTHER], Codec(stub_tokenizer(), 64), SuiteContext(max_length=64), None)
    attack = Relearn(rows=1, steps=4, at=[1, 3], lora=2, lr=LR)
    curve = attack.run(base, attack.prepare(target), target)
    assert [point["step"] for point in curve] == [0, 1, 3, 4]
    moved = changed(seen[0], seen[-1])
    assert moved == {name for name in seen[0] if "lora_" in name}
    assert {min(seen[0][name].shape) for name in moved} == {2}
    assert attack.changes(base) == "an adapter of rank 2"


def test_an_adapter_on_a_composite_model_is_refused(base, tmp_path):
    other = str(save_stub({"random_init": 2}, tmp_path / "other"))
    whp_model(base, other, tmp_path / "out")
    target = Target([HELD, OTHER], Codec(stub_tokenizer(), 64), SuiteContext(max_length=64), None)
    attack = Relearn(rows=1, lora=2)
    with pytest.raises(UserError, match="a composite model has several"):
        attack.run(str(tmp_path / "out"), attack.prepare(target), target)


@pytest.mark.parametrize("given", [{"at": []}, {"at": [0]}, {"at": [21]}, {"lora": 0}])
def test_steps_and_ranks_that_are_none_are_refused(given):
    with pytest.raises(UserError, match=r"--at|--lora"):
        Relearn(**given)
