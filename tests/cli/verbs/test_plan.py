"""``unlearnkit plan`` at the shell."""

from __future__ import annotations

import json

import pytest
from transformers import LlamaConfig

from unlearnkit.cli.planned import duration

RECIPE = """\
model:
  base: BASE
  objectives: {forget: {name: npo}, retain: {name: retain_kl}}
data:
  streams:
    forget: {name: text, path: tiny/book.jsonl, prompt_tokens: 16, limit: 6}
    retain: {name: qa, path: tiny/normal.jsonl, limit: 4}
trainer: {max_steps: 3, accelerator: gpu, devices: 4, precision: bf16-mixed}
evaluate: [{name: copyright, limit: 2, max_new_tokens: 4, heldout: retain}]
"""


@pytest.fixture
def eight(here, recipe):
    """A recipe of a model of 8 billion weights, of which there is the config alone."""
    LlamaConfig(
        vocab_size=128256, hidden_size=4096, intermediate_size=14336, num_hidden_layers=32,
        num_attention_heads=32, num_key_value_heads=8, tie_word_embeddings=False,
        architectures=["LlamaForCausalLM"],
    ).save_pretrained(here / "eight")  # fmt: skip
    return recipe(RECIPE.replace("BASE", str(here / "eight")))


def test_a_recipe_for_gpus_is_planned_where_there_are_none(command, eight):
    done = command("plan", "-r", eight, "--gpu", "h100")
    assert done.code == 0, done.err
    # The recipe's four processes, since --gpu names no number.
    assert "8,030,261,248 weights on 4 x h100, ddp" in done.out
    assert "buckets of ddp" in done.out
    assert "it does not fit" in done.out
    assert "90% may be taken" in done.out
    assert "trainer.strategy: fsdp2" in done.out
    assert "It fits with these together" in done.out
    assert "All figures are reasoned" in done.out
    assert "NVIDIA H100 Tensor Core GPU datasheet" in done.out


def test_suites_that_hold_too_much_are_told_of_sharded_evaluation(command, eight):
    words = ("plan", "-r", eight, "--gpu", "l4x4", "--trainer.strategy")
    copies = command(*words, "fsdp2")
    told = " ".join(copies.out.split())
    assert "While suites run, a GPU would have to hold the whole model, 29.9 GiB" in told
    assert "set trainer.strategy: {name: fsdp2, evaluation: sharded}" in told
    sharded = command(*words, "{name: fsdp2, evaluation: sharded}")
    assert sharded.code == 0, sharded.err
    assert "While suites run" not in sharded.out


def test_numbers_are_printed_as_json(command, eight):
    given = ("-r", eight, "--gpu=h200x8", "--format", "json", "--trainer.strategy", "fsdp2")
    done = command("plan", *given, "--trainer.precision", "bf16-true")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["run"]["shards"] == 8
    assert found["run"]["weights"] == "bfloat16"
    assert found["memory"]["terms"]["weights"] == 2 * 8_030_261_248 / 8
    assert found["memory"]["fits"] is True
    assert found["gpu"]["name"] == "h200"
    assert found["time"]["steps"] == 3


def test_an_unknown_gpu_and_none_are_told_with_those_that_there_are(command, eight):
    for given in (("--gpu", "h10"), ()):
        done = command("plan", "-r", eight, *given)
        assert done.code == 2
        assert "h100 (80 GB)" in done.err


def test_times_are_in_units_that_suit_them() -> None:
    found = [duration(each) for each in (2e-5, 0.25, 100, 1000, 90000)]
    assert found == ["0.02 ms", "250 ms", "100 s", "17 min", "25.0 h"]
