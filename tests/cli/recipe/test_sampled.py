"""Streams of kind `sampled`: the run lets its model answer before it trains."""

import json

import pytest

from unlearnkit.data.streams import sampled as samples_of_data
from unlearnkit.engine.generation import sampling as drawing
from unlearnkit.models.fingerprint import model_fingerprint

RECIPE = """\
model:
  base: {base}
  objectives: {{forget: {{name: d2o, samples: own}}}}
data:
  batch_size: 2
  streams:
    forget: {{name: qa, path: forget.jsonl}}
    own: {{name: sampled, prompts: forget, per_prompt: 3, max_new_tokens: 6}}
trainer: {{max_steps: 1, accelerator: cpu, enable_progress_bar: false}}
"""


@pytest.fixture
def sampled(recipe, stub_folder):
    return recipe(RECIPE.format(base=stub_folder))


@pytest.fixture
def calls(monkeypatch):
    """The number of sequences of each call of the generation."""
    seen = []
    true = drawing.generate

    def counted(model, tokenizer, prompts, **arguments):
        seen.append((len(prompts), arguments["batch_size"]))
        return true(model, tokenizer, prompts, **arguments)

    monkeypatch.setattr(drawing, "generate", counted)
    return seen


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def answers(folder):
    (file,) = (folder / "samples").glob("*.jsonl")
    return file


def test_one_recipe_draws_and_trains(command, folder, sampled, stub_folder, calls):
    done = command("fit", "-r", sampled)
    assert done.code == 0, done.err
    assert calls == [(9, 9)]  # 3 prompts, 3 answers each, in one batch
    rows = lines(answers(folder))
    assert [row["prompt"] for row in rows] == ["a", "b", "c"]
    assert {row["model"] for row in rows} == {model_fingerprint(str(stub_folder))}
    assert all(len(row["samples"]) == 3 for row in rows)
    (copy,) = folder.glob("runs/*/*/samples/own.jsonl")
    assert lines(copy) == rows


def test_answers_that_are_there_are_not_drawn_again(command, folder, sampled, calls):
    command("fit", "-r", sampled)
    before = answers(folder).read_text()
    assert command("fit", "-r", sampled).code == 0
    assert len(calls) == 1
    assert answers(folder).read_text() == before


@pytest.mark.parametrize("verb", ["fit", "validate"])
def test_a_file_of_answers_is_read_once(command, sampled, monkeypatch, verb):
    command("fit", "-r", sampled)
    read, true = [], samples_of_data.read_samples
    monkeypatch.setattr(
        samples_of_data, "read_samples", lambda path: read.append(path) or true(path)
    )
    assert command(verb, "-r", sampled).code == 0
    assert len(read) == 1


def test_an_interrupted_drawing_goes_on_as_if_it_had_not_been(command, folder, sampled, calls):
    command("fit", "-r", sampled)
    whole = answers(folder).read_text()
    first, second, _ = whole.splitlines(keepends=True)
    answers(folder).write_text(first + second[:50])
    assert command("fit", "-r", sampled).code == 0
    assert len(calls) == 2
    assert answers(folder).read_text() == whole


def test_what_is_drawn_together_does_not_depend_on_what_is_left(
    command, folder, sampled, calls, monkeypatch
):
    monkeypatch.setattr(drawing, "SEQUENCES_AT_ONCE", 6)
    command("fit", "-r", sampled)
    assert calls == [(6, 6), (3, 3)]
    whole = answers(folder).read_text()
    first, second, third = whole.splitlines(keepends=True)
    answers(folder).write_text(second)
    command("fit", "-r", sampled)
    assert calls[2:] == [(6, 6), (3, 3)]
    assert sorted(answers(folder).read_text().splitlines(keepends=True)) == [first, second, third]


@pytest.mark.parametrize("setting", ["seed=3", "temperature=0.5", "template=dd{prompt}e"])
def test_other_settings_have_a_file_of_their_own(command, folder, sampled, setting):
    command("fit", "-r", sampled)
    plain = answers(folder)
    before = plain.read_text()
    done = command("fit", "-r", sampled, f"--data.streams.own.{setting}")
    assert done.code == 0, done.err
    (other,) = set((folder / "samples").glob("*.jsonl")) - {plain}
    assert plain.read_text() == before
    assert [r["samples"] for r in lines(other)] != [r["samples"] for r in lines(plain)]
    assert [r["prompt_ids"] for r in lines(other)] == [r["prompt_ids"] for r in lines(plain)]


def test_a_pool_is_drawn_whole_and_larger_ones_anew(command, folder, sampled):
    command("fit", "-r", sampled)
    done = command("fit", "-r", sampled, "--data.streams.own.pool", "5")
    assert done.code == 0, done.err
    last = {row["prompt"]: len(row["samples"]) for row in lines(answers(folder))}
    assert last == {"a": 5, "b": 5, "c": 5}


def test_a_recipe_is_valid_before_anything_is_drawn(command, folder, sampled, calls):
    done = command("validate", "-r", sampled)
    assert done.code == 0, done.err
    assert "answers of the" in done.out
    assert calls == []
    assert not (folder / "samples").exists()


def test_a_broken_file_of_answers_is_named(command, folder, sampled):
    command("fit", "-r", sampled)
    file = answers(folder)
    file.write_text('{"prompt": "a"}\n')
    refused = command("fit", "-r", sampled)
    assert refused.code == 2
    assert file.name in refused.err
    assert "Remove the file" in refused.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("temperature=0", "temperature: expected above 0"),
        ("top_p=1.5", "top_p: expected above 0 and at most 1"),
        ("per_prompt=0", "per_prompt: expected at least 1"),
        ("pool=2", "pool: expected at least 3"),
        ("max_new_tokens=0", "max_new_tokens: expected at least 1"),
        ("template=x", "template: expected {prompt} somewhere"),
        ("prompts=gone", "gone"),
    ],
)
def test_what_cannot_be_sampled_is_one_sentence(command, folder, sampled, words, message):
    refused = command("validate", "-r", sampled, f"--data.streams.own.{words}")
    assert refused.code == 2
    assert message in refused.err
