"""Finished phases of a run are held to their models: weights, config and tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stub import save_stub

from unlearnkit import load_run

RECIPE = """\
seed_everything: 7
model:
  base: stub
  optimizer: {name: AdamW, lr: 1.0e-2}
  objectives: {forget: {name: gradient_ascent, weight: 0.1}}
data: {batch_size: 2, streams: {forget: {name: qa, path: forget.jsonl}}}
trainer: {max_steps: 1, accelerator: cpu}
phases: [{name: first}, {name: second}, {name: third, model: {optimizer: {lr: 1.0e+30}}}]
"""
WORDS = ("fit", "-r", "recipe.yaml", "--trainer.max_steps", "2")
MENDED = ("--phases.third.model.optimizer.lr", "1e-3", "--ckpt_path", "last")
WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
BY_DIGEST = "is no longer the model that was written: {} (changed)"
BY_PHASE = "phase '{}' is finished in"
MODEL, READ = "weights or config of model.base: sha256:", "tokenizer of model.base: sha256:"
CHANGES = [
    ("stub", WEIGHTS, False, [BY_PHASE.format("first"), MODEL, "is now sha256:"]),
    ("stub", CONFIG, False, [BY_PHASE.format("first"), MODEL, "is now sha256:"]),
    ("stub", TOKENIZER, False, [BY_PHASE.format("first"), READ, "is now sha256:"]),
    *(("first/model", name, False, [BY_DIGEST.format(name)])
      for name in (WEIGHTS, CONFIG, TOKENIZER)),
    # Who removes the digests too is held by what the next phase was made with.
    ("first/model", WEIGHTS, True, [BY_PHASE.format("second"), MODEL, "is now sha256:"]),
    ("first/model", CONFIG, True, [BY_PHASE.format("second"), MODEL, "is now sha256:"]),
    *(("second/model", name, False, [BY_DIGEST.format(name)])
      for name in (WEIGHTS, CONFIG, TOKENIZER)),
]  # fmt: skip
"""Folder, file, whether its digests are removed, and what is said."""


@pytest.fixture
def stopped(folder, recipe, command) -> Path:
    """The run folder; its third phase diverged."""
    save_stub({"random_init": 1}, folder / "stub")
    recipe(RECIPE)
    failed = command(*WORDS)
    assert failed.code == 2, failed.err
    (top,) = (folder / "runs" / "recipe").iterdir()
    done = [(top / name / "summary.json").exists() for name in ("first", "second", "third")]
    assert done == [True, True, False]
    return top


def _change(file: Path) -> None:
    """One bit of a weight, or two values against each other."""
    if file.name == WEIGHTS:
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        return
    tree = json.loads(file.read_text())
    a, b = ("a", "b") if file.name == TOKENIZER else ("rms_norm_eps", "initializer_range")
    place = tree["model"]["vocab"] if file.name == TOKENIZER else tree
    place[a], place[b] = place[b], place[a]
    file.write_text(json.dumps(tree))


def test_a_finished_phase_is_held_to_the_models_that_it_began_and_ended_with(
    folder, stopped, command
) -> None:
    for place, name, without_digests, said in CHANGES:
        file = (folder if place == "stub" else stopped) / place / name
        digests = file.parent / "digests.json"
        before = {each: each.read_bytes() for each in (file, digests) if each.exists()}
        _change(file)
        if without_digests:
            digests.unlink()
        changed = command(*WORDS, *MENDED)
        assert changed.code == 2, (place, name)
        told = " ".join(changed.err.replace("│", " ").split())
        assert all(each in told for each in said), (place, name, told)
        for each, content in before.items():
            each.write_bytes(content)
    resumed = command(*WORDS, *MENDED)
    assert resumed.code == 0, resumed.err
    phases = [each["folder"] for each in load_run(stopped).summary["phases"]]
    assert phases == ["first", "second", "third+2"]
