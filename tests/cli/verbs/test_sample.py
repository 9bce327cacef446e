"""`unlearnkit sample`: answers of the model itself, for streams of self-samples."""

import json

import pytest

from unlearnkit.models.fingerprint import model_fingerprint

SELF = """\
model:
  base: {base}
  objectives: {{d2o: {{name: d2o}}}}
data:
  batch_size: 2
  streams:
    forget: {{name: qa, path: forget.jsonl}}
    self_samples: {{name: self_samples, path: own.jsonl, per_prompt: 3}}
trainer: {{max_steps: 1, accelerator: cpu}}
"""
SHORT = ("--max_new_tokens", "6")


@pytest.fixture
def recipe_of_samples(recipe, stub_folder):
    return recipe(SELF.format(base=stub_folder))


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_a_recipe_is_refused_until_its_samples_are_drawn(command, folder, recipe_of_samples):
    refused = command("validate", "-r", recipe_of_samples)
    assert refused.code == 2
    assert "own.jsonl: found no such file" in refused.err
    assert "unlearnkit sample --recipe RECIPE" in refused.err
    done = command("sample", "-r", recipe_of_samples, *SHORT)
    assert done.code == 0, done.err
    assert "own.jsonl: 3 prompts answered, 3 answers each" in done.out
    validated = command("validate", "-r", recipe_of_samples)
    assert validated.code == 0, validated.err


def test_a_row_names_the_prompt_the_model_and_the_settings(
    command, folder, recipe_of_samples, stub_folder
):
    command("sample", "-r", recipe_of_samples, *SHORT, "--top_p", "0.9", "--seed", "3")
    rows = lines(folder / "own.jsonl")
    assert [row["prompt"] for row in rows] == ["a", "b", "c"]
    assert {row["model"] for row in rows} == {model_fingerprint(str(stub_folder))}
    assert {(row["top_p"], row["seed"], row["max_new_tokens"]) for row in rows} == {(0.9, 3, 6)}
    for row in rows:
        assert len(row["samples"]) == 3
        assert all(len(s["ids"]) < 6 if s["ended"] else len(s["ids"]) == 6 for s in row["samples"])
    # The stub's next token is random, so 9 answers of up to 6 tokens are not all alike.
    assert len({tuple(s["ids"]) for row in rows for s in row["samples"]}) > 1


def test_an_interrupted_run_goes_on_as_if_it_had_not_been(command, folder, recipe_of_samples):
    file = folder / "own.jsonl"
    command("sample", "-r", recipe_of_samples, *SHORT)
    whole = file.read_text()
    first, second, _ = whole.splitlines(keepends=True)
    file.write_text(first + second[:50])
    done = command("sample", "-r", recipe_of_samples, *SHORT)
    assert "2 prompts answered" in done.out
    assert file.read_text() == whole
    again = command("sample", "-r", recipe_of_samples, *SHORT)
    assert "0 prompts answered" in again.out
    assert file.read_text() == whole


def test_more_answers_are_drawn_for_the_same_file(command, folder, recipe_of_samples):
    command("sample", "-r", recipe_of_samples, *SHORT, "--per_prompt", "1")
    assert command("validate", "-r", recipe_of_samples).code == 2
    command("sample", "-r", recipe_of_samples, *SHORT)
    assert command("validate", "-r", recipe_of_samples).code == 0


def test_a_file_of_other_settings_is_not_mixed(command, folder, recipe_of_samples):
    command("sample", "-r", recipe_of_samples, *SHORT)
    before = (folder / "own.jsonl").read_text()
    refused = command("sample", "-r", recipe_of_samples, *SHORT, "--temperature", "0.5")
    assert refused.code == 2
    assert "own.jsonl holds answers of other settings: temperature 1.0 and not 0.5" in refused.err
    assert (folder / "own.jsonl").read_text() == before


@pytest.mark.parametrize("content", ['["a", "b", "c"]', "a\nb\nc\n"])
def test_prompts_may_be_texts_without_names(command, folder, stub_folder, content):
    (folder / "asked.json").write_text(content)
    words = ("--model", str(stub_folder), "--prompts", "asked.json", "--out", "own.jsonl", *SHORT)
    done = command("sample", *words)
    assert done.code == 0, done.err
    assert [row["prompt"] for row in lines(folder / "own.jsonl")] == ["a", "b", "c"]


def test_prompts_of_a_file(command, folder, stub_folder):
    model = ("--model", str(stub_folder))
    done = command("sample", *model, "--prompts", "forget.jsonl", "--out", "out/own.jsonl", *SHORT)
    assert done.code == 0, done.err
    assert [len(row["samples"]) for row in lines(folder / "out" / "own.jsonl")] == [5, 5, 5]


def test_a_template_is_for_the_sampling_alone(command, folder, stub_folder):
    words = ("--model", str(stub_folder), "--prompts", "forget.jsonl", *SHORT)
    command("sample", *words, "--out", "plain.jsonl")
    command("sample", *words, "--out", "framed.jsonl", "--template", "# dd{prompt}e")
    plain, framed = lines(folder / "plain.jsonl"), lines(folder / "framed.jsonl")
    assert [row["prompt_ids"] for row in framed] == [row["prompt_ids"] for row in plain]
    assert [row["samples"] for row in framed] != [row["samples"] for row in plain]
    assert {row["template"] for row in framed} == {"# dd{prompt}e"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "nothing to sample for"),
        (("--model", "tiny", "--prompts", "forget.jsonl"), "nothing to sample for"),
        (("-r", "good.yaml"), "nothing to sample"),
        (("-r", "good.yaml", "--temperature", "0"), "--temperature: expected above 0"),
        (("-r", "good.yaml", "--top_p", "1.5"), "--top_p: expected above 0 and at most 1"),
        (("-r", "good.yaml", "--per_prompt", "0"), "--per_prompt: expected at least 1"),
        (("-r", "good.yaml", "--max_new_tokens", "0"), "--max_new_tokens: expected at least 1"),
        (("-r", "good.yaml", "--template", "x"), "--template: expected {prompt} somewhere"),
        (("--model", "tiny", "--prompts", "no.jsonl", "--out", "o.jsonl"), "no such file"),
    ],
)
def test_what_cannot_be_sampled_is_one_sentence(command, folder, words, message):
    refused = command("sample", *words)
    assert refused.code == 2
    assert message in refused.err


def test_a_file_that_cannot_be_written(command, folder, recipe_of_samples):
    (folder / "own.jsonl").mkdir()
    refused = command("sample", "-r", recipe_of_samples, "--out", "own.jsonl/", *SHORT)
    assert refused.code == 2
    assert "cannot be written" in refused.err
