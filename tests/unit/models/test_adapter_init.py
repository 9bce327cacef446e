"""Adapters that begin with a part of the weights: FILA, PiSSA and OLoRA."""

from __future__ import annotations

import copy
import json
import math

import lightning as L
import peft
import pytest
import torch
from peft import PeftModel
from processes import run_code
from rounding import near
from safetensors.torch import load_file
from short_fits import objective, qa
from stub import save_stub, stub_model
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from unlearnkit import UnlearningDataModule, UnlearningModule, fit
from unlearnkit.data.pack import pack
from unlearnkit.data.sampler import StreamBatch
from unlearnkit.engine.preflight import SETTINGS, Values, refuse
from unlearnkit.engine.reference.kinds import AdapterOff
from unlearnkit.engine.step.head import Head
from unlearnkit.engine.training.fila import begin_by_importance, diagonal_fisher
from unlearnkit.errors import RecipeError
from unlearnkit.models.adapter import Importance, LoraConfig
from unlearnkit.models.adapter_init import adapted, save_policy
from unlearnkit.models.load import add_adapter, load_model

IDS = torch.tensor([[4, 5, 6, 4, 7]])
STARTS = ("pissa", "olora", "fila")


@pytest.fixture
def data(tmp_path):
    rows = {"forget": [("ab", "cd"), ("ba", "eee"), ("c", "dab")], "retain": [("d", "ba")] * 2}
    for name, pairs in rows.items():
        lines = [json.dumps({"prompt": p, "response": r}) for p, r in pairs]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    save_stub({"random_init": 1}, tmp_path / "base")
    streams = {name: qa(tmp_path / f"{name}.jsonl") for name in rows}
    made = UnlearningDataModule(streams, tokenizer=str(tmp_path / "base"), batch_size=2)
    made.check()
    return made


def lora(start, **more):
    return LoraConfig(r=4, lora_alpha=12, target_modules="all-linear", init_lora_weights=start,
                      **more)  # fmt: skip


def begun(start, data, model=None, **more):
    config = lora(start, **more)
    policy = add_adapter(model or stub_model({"random_init": 1}), config)
    if start == "fila":
        begin_by_importance(policy, Head(policy), config, data.data, "rows", seed=0)
    return policy


def train(policy, steps=3):
    trained = [p for p in policy.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.05, weight_decay=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        policy(IDS, labels=IDS).loss.backward()
        optimizer.step()


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_begins_as_the_model_bit_for_bit(start, dtype, data):
    base = stub_model({"random_init": 1}).to(dtype)
    policy = begun(start, data, copy.deepcopy(base))
    assert torch.equal(policy(IDS).logits, base(IDS).logits)
    assert all(layer.lora_B["default"].weight.abs().sum() > 0 for _, layer in adapted(policy))


@pytest.mark.parametrize("start", STARTS)
def test_with_the_adapter_off_it_is_the_model_as_it_was_after_training_too(start, data):
    base = stub_model({"random_init": 1})
    policy = begun(start, data)
    names = {n for n, p in policy.named_parameters() if p.requires_grad}
    assert all("lora_" in name for name in names)
    train(policy)
    assert not torch.allclose(policy(IDS).logits, base(IDS).logits)
    rows = StreamBatch(tuple(data.data["forget"].at(0, 0)), 1, 1)
    batch = pack({"forget": rows}, "rows")
    reference = AdapterOff(policy, Head(policy)).forward(batch)
    expected = AdapterOff(add_adapter(base, lora(True)), Head(base)).forward(batch)
    tokens = torch.arange(len(batch.target))
    assert torch.equal(reference.logps(tokens), expected.logps(tokens))
    # PEFT switches gradients on again for all that is active.
    assert {n for n, p in policy.named_parameters() if p.requires_grad} == names


def test_pissa_trains_as_peft_s_own_which_changes_the_base(data):
    policy = begun("pissa", data)
    config = peft.LoraConfig(r=4, lora_alpha=12, target_modules="all-linear",
                             init_lora_weights="pissa")  # fmt: skip
    theirs = peft.get_peft_model(stub_model({"random_init": 1}), config)
    train(policy)
    train(theirs)
    torch.testing.assert_close(policy(IDS).logits, theirs(IDS).logits, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("start", STARTS)
def test_the_saved_adapter_is_a_plain_one_of_the_base_as_it_is(start, data, tmp_path):
    policy = begun(start, data)
    train(policy)
    save_policy(policy, tmp_path / "adapter")
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["init_lora_weights"]) == (8, 24, True)
    assert policy.peft_config["default"].r == 4
    loads = f"""
import torch
from peft import PeftModel
from processes import run_code
from transformers import AutoModelForCausalLM
base = AutoModelForCausalLM.from_pretrained({str(tmp_path / "base")!r})
model = PeftModel.from_pretrained(base, {str(tmp_path / "adapter")!r}).eval()
torch.save(model(torch.tensor({IDS.tolist()})).logits, {str(tmp_path / "logits")!r})
"""
    run_code(loads)
    found = torch.load(tmp_path / "logits", weights_only=True)
    torch.testing.assert_close(found, policy(IDS).logits, rtol=1e-4, atol=1e-5)
    merged = copy.deepcopy(policy).merge_and_unload()
    torch.testing.assert_close(merged(IDS).logits, found, rtol=1e-4, atol=1e-5)


def test_ranks_of_their_own_and_rslora_keep_their_scaling(data, tmp_path):
    more = {"rank_pattern": {"q_proj": 2}, "alpha_pattern": {"q_proj": 3}, "use_rslora": True}
    policy = begun("fila", data, **more)
    train(policy)
    save_policy(policy, tmp_path / "adapter")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    found = PeftModel.from_pretrained(base, tmp_path / "adapter").eval()
    torch.testing.assert_close(found(IDS).logits, policy(IDS).logits, rtol=1e-4, atol=1e-5)


def test_a_merge_can_be_undone(data):
    policy = begun("fila", data)
    train(policy)
    expected, base = policy(IDS).logits, stub_model({"random_init": 1})(IDS).logits
    for safe in (False, True):
        policy.merge_adapter(safe_merge=safe)
        torch.testing.assert_close(policy(IDS).logits, expected, rtol=1e-4, atol=1e-5)
        policy.unmerge_adapter()
        with policy.disable_adapter():
            torch.testing.assert_close(policy(IDS).logits, base, rtol=1e-4, atol=1e-5)


def test_weights_that_are_stored_the_other_way_round(data):
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=10, n_embd=16, n_layer=1, n_head=2, n_positions=32)
    model = GPT2LMHeadModel(config).eval()
    expected = model(IDS).logits
    policy = begun("fila", data, model, fan_in_fan_out=True)
    assert torch.equal(policy(IDS).logits, expected)
    train(policy)
    trained = policy(IDS).logits
    assert not torch.allclose(trained, expected)
    torch.testing.assert_close(policy.merge_and_unload()(IDS).logits, trained, rtol=1e-4, atol=1e-5)


def test_fisher_information_by_a_plain_loop(data):
    model = stub_model({"random_init": 1})
    names = ["model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight"]
    weights = {name: model.get_parameter(name) for name in names}
    rows = data.data["forget"]
    expected, tokens = {name: 0.0 for name in names}, 0
    for row in range(len(rows)):
        (example,) = rows.at(row, 0)
        ids = torch.tensor([[*example.prompt_ids, *example.response_ids]])
        n = len(example.response_ids)
        logps = model(ids).logits[0, -n - 1 : -1].log_softmax(-1)
        nll = -logps[torch.arange(n), ids[0, -n:]].mean()
        for name, gradient in zip(names, torch.autograd.grad(nll, weights.values()), strict=True):
            expected[name] = expected[name] + n * gradient.square()
        tokens += n
    model.requires_grad_(False)
    batches = [[(row, 0)] for row in range(len(rows))]
    found = diagonal_fisher(model, Head(model), rows, batches, weights, "rows")
    for name in names:
        torch.testing.assert_close(found[name], expected[name] / tokens, rtol=1e-4, atol=1e-9)
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())


def test_the_mean_gradient_of_unlike_rows_makes_the_information_smaller(data):
    one, all_at_once = (
        begun("fila", data, importance=Importance(batch_size=n)).state_dict() for n in (1, 3)
    )
    changed = [k for k in one if "lora_A" in k and not torch.allclose(one[k], all_at_once[k])]
    assert changed


def run(data, tmp_path, config, steps=2, **arguments):
    module = UnlearningModule(
        {"forget": objective("npo"), "retain": objective("retain_kl")},
        base=str(tmp_path / "base"), lora=config, **arguments.pop("module", {}),
    )  # fmt: skip
    trainer = L.Trainer(accelerator="cpu", max_steps=steps, enable_progress_bar=False,
                        enable_model_summary=False)  # fmt: skip
    return module, fit(module, data, trainer, run_dir=tmp_path / "runs", **arguments)


@pytest.mark.parametrize("reference", ["adapter_off", "frozen", "cached"])
def test_a_run_starts_at_its_reference(data, tmp_path, reference):
    module, summary = run(data, tmp_path, lora("fila"), module={"reference": reference})
    metrics = (summary.folder / "metrics.csv").read_text().splitlines()
    first = dict(zip(metrics[0].split(","), metrics[1].split(","), strict=True))
    assert float(first["train/retain"]) == near(0.0, size=4.0)  # of log-probabilities
    assert float(first["train/forget"]) == near(20 * math.log(2))
    trained = module.policy.eval()(IDS).logits
    found = load_model(str(summary.folder / "model"))(IDS).logits
    torch.testing.assert_close(found, trained, rtol=1e-4, atol=1e-5)


def test_the_distance_from_the_start_is_zero_at_the_start(data, tmp_path):
    module = UnlearningModule(
        {"forget": objective("npo"), "near": objective("l2_to_reference")},
        base=str(tmp_path / "base"), lora=lora("fila"),
    )  # fmt: skip
    trainer = L.Trainer(accelerator="cpu", max_steps=1, enable_progress_bar=False,
                        enable_model_summary=False)  # fmt: skip
    fit(module, data, trainer, run_dir=tmp_path / "runs")
    assert float(module.metrics["near"]) == 0


def test_a_resumed_run_goes_on_from_the_start_that_the_first_had(data, tmp_path):
    class Save(L.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 1:
                trainer.save_checkpoint(tmp_path / "after_one.ckpt")

    module = UnlearningModule({"forget": objective("npo")}, base=str(tmp_path / "base"),
                              lora=lora("fila"))  # fmt: skip
    trainer = L.Trainer(accelerator="cpu", max_steps=3, enable_progress_bar=False,
                        enable_model_summary=False, callbacks=[Save()])  # fmt: skip
    whole = fit(module, data, trainer, run_dir=tmp_path / "runs", recipe_name="whole")
    state = torch.load(tmp_path / "after_one.ckpt", weights_only=True)["state_dict"]
    starts = [key for key in state if ".start." in key]
    assert len(starts) == 2 * 7 * 2
    # By itself it would begin elsewhere: the start must come from the checkpoint.
    again = UnlearningModule({"forget": objective("npo")}, base=str(tmp_path / "base"),
                             lora=lora("fila", importance=Importance(batch_size=3)))  # fmt: skip
    trainer = L.Trainer(accelerator="cpu", max_steps=3, enable_progress_bar=False,
                        enable_model_summary=False)  # fmt: skip
    resumed = fit(again, data, trainer, run_dir=tmp_path / "runs", recipe_name="resumed",
                  ckpt_path=str(tmp_path / "after_one.ckpt"))  # fmt: skip
    first, second = (
        load_file(each.folder / "model" / "adapter_model.safetensors") for each in (whole, resumed)
    )
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize(
    ("config", "base", "words"),
    [
        (peft.LoraConfig(init_lora_weights="loftq", loftq_config={"loftq_bits": 4}), "tiny",
         "changes the base's weights"),
        (lora("fila", importance=Importance(batch_size=0)), "tiny", "batch_size"),
        (lora("pissa", use_dora=True), "tiny", "model.lora.use_dora"),
        (lora("olora", svd_iterations=2), "tiny", "svd_iterations"),
        (lora("fila", svd_iterations=-1), "tiny", "svd_iterations"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(config, base, words):
    with pytest.raises(RecipeError, match=words):
        refuse(SETTINGS, Values(base, config))


def test_layers_that_are_not_linear_are_refused(data):
    with pytest.raises(RecipeError, match="a Embedding is adapted"):
        add_adapter(stub_model(), LoraConfig(target_modules=["embed_tokens"],
                                             init_lora_weights="pissa"))  # fmt: skip


def test_fila_without_its_retain_rows_is_refused_before_a_model_is_loaded(
    data, tmp_path, monkeypatch
):
    monkeypatch.setattr("unlearnkit.module.load_model", None)
    with pytest.raises(RecipeError, match=r"importance.retain: data.streams.normal is missing"):
        run(data, tmp_path, lora("fila", importance=Importance(retain="normal")))
