"""Mistakes that are told before a model is loaded, one panel each."""

from __future__ import annotations

import os

import pytest

from unlearnkit.models import load


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--trainer.gradient_clip_val", "-1"), "gradient_clip_val: expected 0 or more, found -1"),
        (
            ("--model.lora", "{r: 2, layers_to_transform: [-1, 0, 9]}"),
            "layers_to_transform: expected numbers of 0 to 3, found -1, 9",
        ),
        (("--gold", "no/such/place", "--evaluate", "[copyright]"), "gold: there is no folder"),
        (
            ("--trainer.callbacks", "[{name: EarlyStopping, monitor: val_loss}]"),
            "EarlyStopping.monitor: 'val_loss' is not logged",
        ),
        (("--model.base", "{path: tiny, first_blocks: -1}"), "first_blocks: expected 1 to 4"),
        (("--data.streams.forget.path", "pipe.jsonl"), "pipe.jsonl: found a pipe or a device"),
    ],
)
@pytest.mark.parametrize("verb", ["validate", "fit"])
def test_it_is_told(command, folder, monkeypatch, verb, words, said) -> None:
    os.mkfifo(folder / "pipe.jsonl")
    (folder / "good.yaml").write_text(
        (folder / "good.yaml").read_text().replace("model:\n", "model:\n  base: tiny\n")
    )
    monkeypatch.setattr(load, "load_model", None)
    done = command(verb, "-r", "good.yaml", *words)
    assert done.code == 2, done.err
    assert said in done.err
    assert "╭─ fault" not in done.err
    assert not (folder / "runs").exists()


def test_a_wording_that_the_suite_measures_is_told(command, folder, monkeypatch) -> None:
    monkeypatch.setattr(load, "load_model", None)
    stream = (
        "{name: paraphrase, path: tiny/tofu/forget10.jsonl, prompt_field: question, "
        "response_field: answer, responses: paraphrased_answer, limit: 2}"
    )
    done = command("validate", "-r", "tiny_tofu/npo", "--data.streams.forget", stream)
    assert done.code == 2, done.err
    said = " ".join(done.err.replace("│", " ").split())
    assert said.count("which the suite tofu (paraphrased_answer of") == 2
    assert "expected wordings in data.streams.forget that no suite measures" in said
    stream = stream.replace("responses: paraphrased_answer", "frames: ['Say this: {prompt}']")
    assert command("validate", "-r", "tiny_tofu/npo", "--data.streams.forget", stream).code == 0
