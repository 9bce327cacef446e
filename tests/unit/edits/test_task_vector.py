"""Task vectors: closed forms, files that transformers loads, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from edited import add_task_vectors
from peft import LoraConfig, get_peft_model
from peft.utils import merge_utils
from safetensors.torch import load_file, save_file
from stub import stub_model, stub_tokenizer
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoModelForCausalLM, AutoTokenizer, GPT2Config, GPT2LMHeadModel

from unlearnkit.data.plan import derived_seed
from unlearnkit.edits import task_vector
from unlearnkit.errors import UserError
from unlearnkit.models.fingerprint import tokenizer_fingerprint


def save(folder: Path, seed: int, *, dtype=torch.float32, shards="5GB", **spec) -> Path:
    model = stub_model({"random_init": seed, **spec}).to(dtype)
    model.save_pretrained(folder, max_shard_size=shards)
    stub_tokenizer(spec).save_pretrained(folder)
    return folder


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    found = {}
    for file in folder.glob("*.safetensors"):
        found |= load_file(file)
    return found


@pytest.fixture
def pair(tmp_path):
    return save(tmp_path / "base", 1), save(tmp_path / "tuned", 2)


def edit(base, tuned, scale, out, **options):
    return weights_of(add_task_vectors(str(base), [str(tuned)], scale, out, **options))


def test_scale_minus_one_mirrors_and_zero_changes_nothing(pair, tmp_path):
    base, tuned = map(weights_of, pair)
    mirrored = edit(*pair, -1.0, tmp_path / "mirrored")
    unchanged = edit(*pair, 0.0, tmp_path / "unchanged")
    assert mirrored.keys() == unchanged.keys() == base.keys()
    for name, found in mirrored.items():
        torch.testing.assert_close(found, 2 * base[name] - tuned[name])
        assert torch.equal(unchanged[name], base[name])
    assert any(not torch.equal(mirrored[name], base[name]) for name in base)


def test_a_model_that_learned_nothing_leaves_the_base(pair, tmp_path):
    found = edit(pair[0], pair[0], -3.0, tmp_path / "out")
    assert all(torch.equal(found[name], each) for name, each in weights_of(pair[0]).items())


def test_negating_twice_about_the_base_restores_the_tuned_model(pair, tmp_path):
    edit(*pair, -1.0, tmp_path / "once")
    twice = edit(pair[0], tmp_path / "once", -1.0, tmp_path / "twice")
    for name, each in weights_of(pair[1]).items():
        torch.testing.assert_close(twice[name], each)


def test_several_vectors_are_summed(pair, tmp_path):
    third = save(tmp_path / "third", 3)
    tuned = [str(pair[1]), str(third)]
    found = weights_of(add_task_vectors(str(pair[0]), tuned, 0.5, tmp_path / "out"))
    base, one, two = map(weights_of, (*pair, third))
    for name, each in found.items():
        expected = base[name] + 0.5 * (one[name] + two[name] - 2 * base[name])
        torch.testing.assert_close(each, expected)


def test_the_folder_loads_as_any_model(pair, tmp_path):
    out = add_task_vectors(str(pair[0]), [str(pair[1])], -0.5, tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(out, dtype="auto")
    logits = model(torch.tensor([[4, 5, 6]])).logits
    expected = stub_model({"random_init": 1})
    tuned = stub_model({"random_init": 2}).state_dict()
    state = {k: v + -0.5 * (tuned[k] - v) for k, v in expected.state_dict().items()}
    expected.load_state_dict(state)
    torch.testing.assert_close(logits, expected(torch.tensor([[4, 5, 6]])).logits)
    same = tokenizer_fingerprint(AutoTokenizer.from_pretrained(pair[0]))
    assert tokenizer_fingerprint(AutoTokenizer.from_pretrained(out)) == same
    record = json.loads((out / "edit.json").read_text())
    assert (record["scale"], record["base"]["name"]) == (-0.5, str(pair[0]))


def test_the_base_keeps_its_dtype_and_the_sum_is_in_float32(tmp_path):
    base = save(tmp_path / "base", 1, dtype=torch.bfloat16)
    tuned = save(tmp_path / "tuned", 2)
    found = edit(base, tuned, -1.5, tmp_path / "out")
    theirs = weights_of(tuned)
    for name, each in weights_of(base).items():
        expected = each.float() + -1.5 * (theirs[name] - each.float())
        assert found[name].dtype == torch.bfloat16
        assert torch.equal(found[name], expected.bfloat16())


def test_a_tied_head_stays_tied(tmp_path):
    base, tuned = save(tmp_path / "b", 1, tie=True), save(tmp_path / "t", 2, tie=True)
    # Some writers store the shared tensor under both names.
    weights = weights_of(tuned)
    weights["lm_head.weight"] = weights["model.embed_tokens.weight"].clone()
    save_file(weights, tuned / "model.safetensors", metadata={"format": "pt"})
    out = add_task_vectors(str(base), [str(tuned)], -1.0, tmp_path / "out")
    assert "lm_head.weight" not in weights_of(out)
    model = AutoModelForCausalLM.from_pretrained(out)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


@pytest.mark.parametrize("chunk", [task_vector.CHUNK, 40])
def test_shards_and_chunks_change_nothing(tmp_path, monkeypatch, chunk):
    whole, sharded = save(tmp_path / "whole", 1), save(tmp_path / "sharded", 1, shards="4KB")
    tuned = save(tmp_path / "tuned", 2, shards="3KB")
    assert len(list(sharded.glob("*.safetensors"))) > 2
    one = edit(whole, tuned, -1.0, tmp_path / "one")
    monkeypatch.setattr(task_vector, "CHUNK", chunk)
    many = edit(sharded, tuned, -1.0, tmp_path / "many", shard_bytes=3000)
    assert one.keys() == many.keys()
    assert all(torch.equal(one[name], many[name]) for name in one)
    index = json.loads((tmp_path / "many" / "model.safetensors.index.json").read_text())
    files = {p.name for p in (tmp_path / "many").glob("*.safetensors")}
    assert set(index["weight_map"].values()) == files
    assert len(files) > 2
    AutoModelForCausalLM.from_pretrained(tmp_path / "many")


class LiveBytes(TorchDispatchMode):
    """The most bytes that tensors seen by torch's operations hold at one time."""

    def __init__(self):
        super().__init__()
        self.peak, self._seen = 0, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for each in tree_leaves((args, kwargs, out)):
            if isinstance(each, torch.Tensor):
                storage = each.untyped_storage()
                self._seen[storage.data_ptr()] = (
                    torch.multiprocessing.reductions.StorageWeakRef(storage),
                    storage.nbytes(),
                )
        self._seen = {k: v for k, v in self._seen.items() if not v[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self._seen.values()))
        return out


def peak_of_edit(tmp_path, layers):
    base = save(tmp_path / f"base{layers}", 1, layers=layers, shards="20KB")
    tuned = save(tmp_path / f"tuned{layers}", 2, layers=layers, shards="20KB")
    with LiveBytes() as live:
        out = tmp_path / f"out{layers}"
        add_task_vectors(str(base), [str(tuned)], -1.0, out, shard_bytes=20_000)
    files = (tmp_path / f"out{layers}").glob("*.safetensors")
    return live.peak, [file.stat().st_size for file in files]


def test_memory_is_that_of_one_shard_however_many_there_are(tmp_path):
    few, few_files = peak_of_edit(tmp_path, 3)
    many, many_files = peak_of_edit(tmp_path, 12)
    assert len(many_files) >= 4 * len(few_files) - 3
    assert many <= 1.1 * few
    # A file that is made, and a few weights that are read or worked on in float32.
    assert max(many_files) < many < 2 * max(many_files) < sum(many_files) / 2


def test_every_mismatch_is_named_before_anything_is_written(tmp_path):
    base = save(tmp_path / "base", 1)
    tuned = save(tmp_path / "tuned", 2)
    weights = weights_of(tuned)
    weights["extra.weight"] = torch.ones(2)
    weights["model.norm.weight"] = torch.ones(17)
    del weights["model.layers.0.mlp.up_proj.weight"]
    save_file(weights, tuned / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError) as caught:
        add_task_vectors(str(base), [str(tuned)], -1.0, tmp_path / "out")
    message = str(caught.value)
    assert "'model.norm.weight': found shape [17], expected [16]" in message
    assert "'model.layers.0.mlp.up_proj.weight': found no such tensor" in message
    assert "'extra.weight': found a tensor, expected none" in message
    assert not (tmp_path / "out").exists()


def test_other_architectures_tokenizers_and_missing_models_are_refused_together(pair, tmp_path):
    other = tmp_path / "gpt2"
    config = GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=10, n_positions=32)
    GPT2LMHeadModel(config).save_pretrained(other)
    stub_tokenizer({"add_bos": True}).save_pretrained(other)
    with pytest.raises(UserError) as caught:
        add_task_vectors(str(pair[0]), [str(other), "./nowhere"], -1.0, tmp_path / "out")
    message = str(caught.value)
    assert "config.num_hidden_layers': found 1, expected 2" in message
    assert "config.model_type': found 'gpt2', expected 'llama'" in message
    assert "field 'tokenizer': found another one" in message
    assert "./nowhere: found there is no folder ./nowhere" in message


def test_nothing_is_overwritten_and_nothing_is_left_after_a_failure(pair, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="not empty"):
        edit(*pair, -1.0, full)
    assert [p.name for p in full.iterdir()] == ["mine.txt"]
    weights = weights_of(pair[1])
    weights["model.norm.weight"][3] = float("nan")
    save_file(weights, pair[1] / "model.safetensors", metadata={"format": "pt"})
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(UserError, match=r"model\.norm\.weight: a weight is not finite"):
        edit(*pair, -1.0, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": float("nan")}, "--scale: expected a finite number"),
        ({"method": "slerp"}, "--method: there is none named 'slerp'"),
        ({"method": "ties", "seed": 1}, "--seed: has no effect with --method ties"),
        ({"method": "ties", "density": 0.0}, "--density: expected above 0"),
        ({"density": 0.5}, "--density: has no effect with --method linear"),
    ],
)
def test_arguments_are_checked(options, words, tmp_path):
    arguments = {"scale": 1.0, "out": tmp_path / "out", **options}
    with pytest.raises(UserError) as caught:
        add_task_vectors("nowhere", ["nowhere"], **arguments)
    assert words in str(caught.value)


@pytest.mark.parametrize("rslora", [False, True])
def test_an_adapter_is_merged_tensor_by_tensor(pair, tmp_path, rslora):
    torch.manual_seed(0)
    lora = LoraConfig(r=4, lora_alpha=6, target_modules="all-linear", use_rslora=rslora)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(pair[0]), lora)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter)
    adapted.save_pretrained(tmp_path / "adapter")
    stub_tokenizer().save_pretrained(tmp_path / "adapter")
    found = edit(pair[0], tmp_path / "adapter", -1.0, tmp_path / "out")
    base, merged = weights_of(pair[0]), adapted.merge_and_unload().state_dict()
    for name, each in found.items():
        torch.testing.assert_close(each, 2 * base[name] - merged[name], rtol=1e-4, atol=1e-4)
    name = "model.layers.0.mlp.up_proj.weight"
    assert not torch.allclose(found[name], base[name], atol=1e-2)


def test_an_adapter_of_transposed_weights(tmp_path):
    config = GPT2Config(n_layer=1, n_head=2, n_embd=16, vocab_size=10, n_positions=32)
    model = GPT2LMHeadModel(config)
    model.save_pretrained(tmp_path / "base")
    stub_tokenizer().save_pretrained(tmp_path / "base")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    lora = LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True)
    adapted = get_peft_model(model, lora)
    torch.nn.init.normal_(next(p for n, p in adapted.named_parameters() if "lora_B" in n))
    adapted.save_pretrained(tmp_path / "adapter")
    stub_tokenizer().save_pretrained(tmp_path / "adapter")
    found = edit(tmp_path / "base", tmp_path / "adapter", 1.0, tmp_path / "out")
    merged = adapted.merge_and_unload().state_dict()
    name = "transformer.h.0.attn.c_attn.weight"
    torch.testing.assert_close(found[name], merged[name])


def test_an_adapter_that_is_more_than_a_product_is_sent_to_export(pair, tmp_path):
    lora = LoraConfig(r=2, target_modules=["q_proj"], use_dora=True)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(pair[0]), lora)
    adapted.save_pretrained(tmp_path / "adapter")
    stub_tokenizer().save_pretrained(tmp_path / "adapter")
    with pytest.raises(UserError, match=r"use_dora[\s\S]*export RUN OUT --merge"):
        edit(pair[0], tmp_path / "adapter", 1.0, tmp_path / "out")


def test_ties_and_dare_are_those_of_peft(pair, tmp_path):
    third = save(tmp_path / "third", 3, shards="3KB")
    base, one, two = map(weights_of, (*pair, third))
    for method in ("magnitude_prune", "ties", "dare_linear", "dare_ties"):
        out, seed = tmp_path / method, 5 if "dare" in method else 0
        add_task_vectors(
            str(pair[0]), [str(pair[1]), str(third)], -0.5, out,
            method=method, density=0.4, seed=seed, shard_bytes=5000,
        )  # fmt: skip
        for name, found in weights_of(out).items():
            torch.manual_seed(derived_seed(seed, name))
            vectors = [one[name] - base[name], two[name] - base[name]]
            merged = getattr(merge_utils, method)(vectors, torch.ones(2), 0.4)
            torch.testing.assert_close(found, base[name] - 0.5 * merged)


def test_density_one_with_one_model_is_linear(pair, tmp_path):
    linear = edit(*pair, -1.0, tmp_path / "linear")
    dropped = edit(*pair, -1.0, tmp_path / "dropped", method="magnitude_prune", density=0.25)
    base = weights_of(pair[0])
    for name, each in dropped.items():
        changed = each != base[name]
        assert changed.sum() <= 0.25 * each.numel() + 1
        torch.testing.assert_close(each[changed], linear[name][changed])


def test_a_missing_shard_and_missing_weights_are_named(pair, tmp_path):
    sharded = save(tmp_path / "sharded", 1, shards="4KB")
    gone = sorted(sharded.glob("*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(UserError, match=f"lacks {gone.name}"):
        edit(pair[0], sharded, 1.0, tmp_path / "out")
