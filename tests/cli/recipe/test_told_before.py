"""Mistakes that are told before a model is loaded, one panel each."""

from __future__ import annotations

import json
import os

import pytest

from unlearnkit.models import load


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--trainer.gradient_clip_val", "-1"),
            "line: trainer.gradient_clip_val: expected 0 or more, found -1",
        ),
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


def test_what_is_found_after_the_recipe_was_read_has_its_line_too(command, folder) -> None:
    # A file of that name is no key.
    recipe = (folder / "good.yaml").read_text().replace("model:\n", "model:\n  base: tiny\n")
    lines = [*recipe.splitlines(), "evaluate: [copyright]", "gold: runs/gold/nowhere"]
    (folder / "model.yaml").write_text("\n".join(lines))
    done = command("validate", "-r", "model.yaml")
    assert done.code == 2
    text = " ".join(done.err.replace("│", " ").split())
    assert f"model.yaml:{len(lines)}: gold: there is no folder runs/gold/nowhere Embedded" in text
    (folder / "model.yaml").write_text("\n".join([*lines[:-2], "gols: 1"]))
    assert f"│ model.yaml:{len(lines) - 1}: gols" in command("validate", "-r", "model.yaml").err


def test_goals_on_what_is_not_measured_are_told_with_everything_else(command, folder) -> None:
    recipe = (folder / "good.yaml").read_text().replace("model:\n", "modl: 1\nmodel:\n")
    goals = "goals: {forget/nll: {at_mots: 1}, forget/nope: {at_most: 1}, nll: {at_most: gold}}"
    (folder / "bad.yaml").write_text(f"{recipe}\nevaluate: [copyright]\n{goals}\n")
    done = command("validate", "-r", "bad.yaml")
    assert done.code == 2
    lines = [line.strip("│ ") for line in done.err.splitlines()]
    for key in ("modl", "goals.forget/nll.at_mots", "goals.forget/nope", "goals.nll"):
        assert any(line.endswith(f": {key}") for line in lines), key
    assert "needs a gold model, and the recipe has none" in " ".join(lines)


def test_a_wording_that_the_suite_measures_is_told(command, folder, monkeypatch) -> None:
    monkeypatch.setattr(load, "load_model", None)
    stream = (
        "{name: paraphrase, path: tiny/tofu_power/forget10_perturbed.jsonl, "
        "prompt_field: question, response_field: answer, responses: paraphrased_answer, limit: 2}"
    )
    done = command("validate", "-r", "tiny_tofu/npo", "--data.streams.forget", stream)
    assert done.code == 2, done.err
    said = " ".join(done.err.replace("│", " ").split())
    assert said.count("which the suite tofu (paraphrased_answer of") == 2
    assert "expected wordings in data.streams.forget that no suite measures" in said
    stream = stream.replace("responses: paraphrased_answer", "frames: ['Say this: {prompt}']")
    assert command("validate", "-r", "tiny_tofu/npo", "--data.streams.forget", stream).code == 0


def test_all_bad_rows_are_told_at_once_also_those_that_only_the_tokenizer_shows(
    command, folder
) -> None:
    turns = '{{"messages": [{}]}}\n'.format
    user, bad = '{"role": "user", "content": "a"}', '{"role": "user", "content": 5}'
    answer = '{"role": "assistant", "content": "b"}'
    theirs = '{"from": "human", "value": "a"}'
    rows = (f"{user}, {answer}", user, f"{bad}, {answer}", theirs)
    (folder / "chats.jsonl").write_text("".join(map(turns, rows)))
    (folder / "refusals.jsonl").write_text('{"response": "No."}\n\n{"response": 7}\n')
    streams = "{forget: {name: chat, path: chats.jsonl}, retain: {name: qa, path: retain.jsonl}, "
    pools = "idk: {answers: refusals.jsonl}, mismatch: {answers: refusals.jsonl}}"
    done = command("validate", "-r", "good.yaml", "--model.base", "tiny", "--data.streams",
                   streams + pools)  # fmt: skip
    assert done.code == 2, done.err
    told = [line.strip("│ ") for line in done.err.splitlines() if ", line " in line]
    ends = "(role user) at the end, expected an answer of the assistant at the end"
    assert told == [
        f"chats.jsonl, line 2, field 'messages': found turn 1 {ends}",
        "chats.jsonl, line 3, field 'messages': found turn 1: number as `content`, expected text",
        f"chats.jsonl, line 4, field 'messages': found turn 1 {ends}",
        "refusals.jsonl, line 3, field 'response': found number, expected text",
    ]


def test_fast_dev_run_bounds_a_run_and_what_is_off_does_not(command, folder) -> None:
    text = (folder / "good.yaml").read_text().replace("model:\n", "model:\n  base: tiny\n")
    for number, fast in enumerate(("2", "false")):
        recipe = text.replace("max_steps: 1", f"fast_dev_run: {fast}")
        recipe = recipe.replace("batch_size: 2", "batch_size: 1")
        (folder / f"fast{number}.yaml").write_text(recipe)
    done = command("fit", "-r", "fast0.yaml")
    assert done.code == 0, done.err
    (summary,) = (folder / "runs" / "fast0").rglob("summary.json")
    assert '"steps": 2' in summary.read_text()
    done = command("fit", "-r", "fast1.yaml")
    assert done.code == 2
    assert "give max_epochs or max_steps" in done.err


@pytest.mark.parametrize(("turns", "which"), [("last", "the last turn"), ("all", "every turn")])
def test_rows_of_which_no_turn_is_learned_are_told(
    command, folder, monkeypatch, turns, which
) -> None:
    monkeypatch.setattr(load, "load_model", None)
    said = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "weight": 0}]
    (folder / "chats.jsonl").write_text(f"{json.dumps({'messages': said})}\n" * 3)
    stream = f"{{name: chat, path: chats.jsonl, turns: {turns}}}"
    done = command(
        "fit", "-r", "good.yaml", "--model.base", "tiny", "--data.streams.forget", stream
    )
    assert done.code == 2, done.err
    told = [line for line in done.err.splitlines() if f"found weight 0 in {which}" in line]
    assert [f"chats.jsonl, line {row}" in line for row, line in enumerate(told, 1)] == [True] * 3
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("line", ["- a\n", "key: [1, 2]\n", "# a comment\n"])
def test_a_recipe_of_fifty_megabytes_is_refused_unread(command, folder, monkeypatch, line) -> None:
    monkeypatch.setattr("unlearnkit.cli.recipe.document.yaml.compose", None)
    (folder / "large.yaml").write_text(line * (50 * 10**6 // len(line)))
    done = command("validate", "-r", "large.yaml")
    assert done.code == 2, done.err
    assert "characters, and at most 4,194,304 are read" in done.err
