"""Masks from forget gradients: outside of them no weight moves."""

from __future__ import annotations

import json
from functools import partial

import lightning as L
import pytest
import torch
from short_fits import objective, qa, stub_data, stub_module, train
from stub import stub_model, stub_tokenizer

from unlearnkit.engine.preflight import MODEL, SETTINGS, Values, refuse
from unlearnkit.engine.training.apart import takes_apart
from unlearnkit.engine.training.salun import Saliency, SalientWeights, _kth_largest
from unlearnkit.errors import RecipeError
from unlearnkit.models.adapter import LoraConfig

OPTIMIZERS = {
    "momentum": partial(torch.optim.SGD, momentum=0.9, weight_decay=0.1),
    "adamw": partial(torch.optim.AdamW, weight_decay=0.1),
}


def _data(folder, **arguments):
    rows = [{"prompt": "ab", "response": "cd"}, {"prompt": "a", "response": "bbd"}] * 2
    (folder / "forget.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return stub_data({"forget": qa(folder / "forget.jsonl")}, batch_size=2, **arguments)


def _module(optimizer="adamw", **arguments):
    return stub_module(
        {"forget": objective("npo")}, {"random_init": 1}, lr=0.05,
        optimizer=OPTIMIZERS[optimizer], **arguments,
    )  # fmt: skip


def _weights(module) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in module.policy.named_parameters()}


def _callback(trainer: L.Trainer) -> SalientWeights:
    return next(c for c in trainer.callbacks if isinstance(c, SalientWeights))  # pyright: ignore


def _fit(module, data, ckpt_path=None, **arguments) -> L.Trainer:
    trainer = L.Trainer(
        accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False,
        enable_checkpointing=False, **arguments,
    )  # fmt: skip
    trainer.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
    return trainer


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("accumulate", [1, 2])
def test_weights_outside_of_the_mask_do_not_move_at_all(tmp_path, optimizer, accumulate) -> None:
    module = _module(optimizer, saliency=Saliency(0.3))
    before = _weights(module)
    trainer = _fit(
        module, _data(tmp_path), max_steps=3, accumulate_grad_batches=accumulate,
        gradient_clip_val=1.0,
    )  # fmt: skip
    masks, after = _callback(trainer).masks, _weights(module)
    assert masks.keys() == after.keys()
    for name, mask in masks.items():
        assert after[name][~mask].equal(before[name][~mask])
    moved = sum(int((after[n] != before[n]).sum()) for n in masks)
    assert moved == sum(int(mask.sum()) for mask in masks.values()) > 0


def test_the_mask_has_the_largest_gradients_of_the_forget_rows(tmp_path) -> None:
    module = _module(saliency=Saliency(0.3))
    trainer = _fit(module, _data(tmp_path), max_steps=1)
    masks = _callback(trainer).masks
    model, tokenizer = stub_model({"random_init": 1}), stub_tokenizer()
    total: torch.Tensor | float = 0.0
    for prompt, response in (("ab", "cd"), ("a", "bbd")):
        ids = tokenizer(prompt + response)["input_ids"] + [tokenizer.eos_token_id]
        logps = model(torch.tensor([ids])).logits.log_softmax(-1)[0, :-1]
        chosen = logps.gather(1, torch.tensor(ids[1:])[:, None])[len(prompt) - 1 :]
        total = total - chosen.sum()
    grads = torch.autograd.grad(total, list(model.parameters()), allow_unused=True)  # pyright: ignore
    sizes = torch.cat(
        [
            torch.zeros(p.numel()) if g is None else g.abs().flatten()
            for p, g in zip(model.parameters(), grads, strict=True)
        ]
    )
    flat = torch.cat([masks[name].flatten() for name, _ in model.named_parameters()])
    assert int(flat.sum()) == min(round(0.3 * len(sizes)), int((sizes > 0).sum()))
    assert sizes[flat].min() >= sizes[~flat].max() * (1 - 1e-4)


def _summed(model, tokenizer, pairs):
    total, tokens = torch.zeros(()), 0
    for prompt, response in pairs:
        ids = tokenizer(prompt + response)["input_ids"] + [tokenizer.eos_token_id]
        logps = model(torch.tensor([ids])).logits.log_softmax(-1)[0, :-1]
        chosen = logps.gather(1, torch.tensor(ids[1:])[:, None])[len(prompt) - 1 :]
        total, tokens = total - chosen.sum(), tokens + len(chosen)
    return total, tokens


@pytest.mark.parametrize("gamma", [None, 0.02])
def test_wagle_looks_at_weights_and_retain_gradients_too(tmp_path, gamma) -> None:
    kept = [("d", "ae"), ("ba", "c")]
    rows = [{"prompt": prompt, "response": response} for prompt, response in kept]
    (tmp_path / "retain.jsonl").write_text("\n".join(map(json.dumps, rows)))
    asked = [("ab", "cd"), ("a", "bbd")] * 2
    rows = [{"prompt": prompt, "response": response} for prompt, response in asked]
    (tmp_path / "forget.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = stub_data(
        {name: qa(tmp_path / f"{name}.jsonl") for name in ("forget", "retain")}, batch_size=2
    )
    module = _module(saliency=Saliency(0.3, name="wagle", gamma=gamma))
    before = _weights(module)
    trainer = _fit(module, data, max_steps=1)
    model, tokenizer = stub_model({"random_init": 1}), stub_tokenizer()
    weights = list(model.parameters())
    forget, _ = _summed(model, tokenizer, asked)
    retain, tokens = _summed(model, tokenizer, kept)
    grads = torch.autograd.grad(forget, weights)
    kept_grads = torch.autograd.grad(retain / tokens, weights)
    flat = torch.cat([g.flatten() for g in kept_grads])
    divisor = flat.square().mean() if gamma is None else gamma
    triples = zip(weights, grads, kept_grads, strict=True)
    scores = torch.cat([(f * (w - r / divisor)).abs().flatten() for w, f, r in triples]).detach()
    masks = _callback(trainer).masks
    mask = torch.cat([masks[name].flatten() for name, _ in model.named_parameters()])
    assert int(mask.sum()) == min(round(0.3 * len(scores)), int((scores > 0).sum()))
    assert scores[mask].min() >= scores[~mask].max() * (1 - 1e-4)
    # Another choice than that by the forget gradient alone.
    plain = torch.cat([g.abs().flatten() for g in grads])
    assert plain[mask].min() < plain[~mask].max()
    after = _weights(module)
    assert all(after[n][~masks[n]].equal(before[n][~masks[n]]) for n in masks)


def test_a_checkpoint_of_another_score_is_refused(tmp_path) -> None:
    saved = _callback(_fit(_module(saliency=Saliency(0.4)), _data(tmp_path), max_steps=1))
    other = SalientWeights(Saliency(0.4, name="wagle"))
    other.masks = dict(saved.masks)
    with pytest.raises(RecipeError, match="wagle"):
        other.load_state_dict(saved.state_dict())


def test_masks_are_of_the_trainable_weights_alone(tmp_path) -> None:
    module = _module(saliency=Saliency(0.5), trainable=["mlp"])
    before = _weights(module)
    trainer = _fit(module, _data(tmp_path), max_steps=2)
    assert all(".mlp." in name for name in _callback(trainer).masks)
    after = _weights(module)
    assert all(after[n].equal(before[n]) for n in after if ".mlp." not in n)


def test_a_resumed_run_equals_the_uninterrupted_one(tmp_path) -> None:
    data = partial(_data, tmp_path, seed=3)
    whole = _module(saliency=Saliency(0.4))
    masks = _callback(_fit(whole, data(), max_steps=4)).masks
    first = _module(saliency=Saliency(0.4))
    trainer = _fit(first, data(), max_steps=2)
    trainer.save_checkpoint(tmp_path / "half.ckpt")
    second = _module(saliency=Saliency(0.4))
    resumed = _fit(second, data(), tmp_path / "half.ckpt", max_steps=4)
    found = _callback(resumed).masks
    assert all(found[name].equal(mask) for name, mask in masks.items())
    assert all(_weights(second)[n].equal(w) for n, w in _weights(whole).items())


def test_the_mask_of_a_checkpoint_is_taken_and_another_fraction_is_refused(tmp_path) -> None:
    saved = _callback(_fit(_module(saliency=Saliency(0.4)), _data(tmp_path), max_steps=1))
    state = saved.state_dict()
    other = SalientWeights(Saliency(0.4))
    other.masks = {name: ~mask for name, mask in saved.masks.items()}
    other.load_state_dict(state)
    assert all(other.masks[name].equal(mask) for name, mask in saved.masks.items())
    refused = SalientWeights(Saliency(0.5))
    refused.masks = dict(saved.masks)
    with pytest.raises(RecipeError, match=r"the checkpoint is of a run with .*0\.4"):
        refused.load_state_dict(state)


def test_a_whole_mask_is_plain_training(tmp_path) -> None:
    """But for weights without a gradient, which weight decay alone would move."""
    found = []
    for saliency in (None, Saliency(1.0)):
        module = stub_module(
            {"forget": objective("nll")}, {"random_init": 1}, lr=0.05, saliency=saliency
        )
        train(module, _data(tmp_path), max_steps=2)
        found.append(_weights(module))
    assert all(found[0][name].equal(found[1][name]) for name in found[0])


def test_the_kth_largest_is_that_of_all_values_together() -> None:
    torch.manual_seed(0)
    parts = [torch.rand(50) ** 8, torch.rand(7, 9) * 1e-20, torch.zeros(20)]
    joined = torch.cat([p.flatten() for p in parts]).sort(descending=True).values
    for k in range(1, len(joined) + 1):
        assert _kth_largest(parts, k) == joined[k - 1].item()


def test_what_cannot_be_right_is_refused(tmp_path) -> None:
    with pytest.raises(RecipeError, match="expected above 0 and at most 1, found 0"):
        _fit(_module(saliency=Saliency(0.0)), _data(tmp_path), max_steps=1)
    with pytest.raises(RecipeError, match="one factor of a new adapter is zero"):
        refuse(SETTINGS, Values("tiny", LoraConfig(), saliency=Saliency()))
    with pytest.raises(RecipeError, match="there is no stream 'gone'"):
        _fit(_module(saliency=Saliency(stream="gone")), _data(tmp_path), max_steps=1)
    sharded = L.Trainer(accelerator="cpu", strategy="fsdp2", devices=1, logger=False)
    with pytest.raises(RecipeError, match="whole on every process"):
        refuse(MODEL, Values("tiny", saliency=Saliency(), apart=takes_apart(sharded)))
