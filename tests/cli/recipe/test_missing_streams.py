"""Objectives and streams that do not go together."""

import pytest

HEAD = "trainer: {max_steps: 1, accelerator: cpu}\nevaluate: []\n"
FORGET = "{name: qa, path: forget.jsonl}"


def text(objectives: str, streams: str) -> str:
    return f"{HEAD}model:\n  objectives: {objectives}\ndata:\n  streams: {streams}\n"


@pytest.mark.parametrize(
    ("objective", "stream"), [("retain_kl", "retain"), ("random_mismatch", "mismatch")]
)
def test_missing_stream_names_objective_stream_and_key(command, recipe, objective, stream):
    objectives = f"{{forget: {{name: gradient_ascent}}, second: {{name: {objective}}}}}"
    done = command("validate", "-r", recipe(text(objectives, f"{{forget: {FORGET}}}")))
    assert done.code == 2
    assert "recipe.yaml:4: model.objectives.second" in done.err
    assert f"{objective} reads the stream '{stream}'" in done.err
    assert f"data.streams.{stream} is missing" in done.err


def test_a_mismatch_stream_needs_its_pool(command, recipe):
    objectives = "{forget: {name: gradient_ascent}, mismatch: {name: random_mismatch}}"
    mismatch = "{name: mismatch, prompts: forget, answers: pool}"
    done = command(
        "validate", "-r", recipe(text(objectives, f"{{forget: {FORGET}, mismatch: {mismatch}}}"))
    )
    assert done.code == 2
    assert "pool" in done.err


def test_empty_file_is_named_with_its_rows(command, recipe, folder):
    (folder / "empty.jsonl").touch()
    streams = f"{{forget: {FORGET}, retain: {{name: qa, path: empty.jsonl}}}}"
    objectives = "{forget: {name: gradient_ascent}, retain_nll: {}}"
    done = command("validate", "-r", recipe(text(objectives, streams)))
    assert done.code == 2
    assert "empty.jsonl" in done.err
    assert "0 rows" in done.err


def test_unused_stream_is_a_warning(command, recipe):
    streams = f"{{forget: {FORGET}, retain: {{name: qa, path: retain.jsonl}}}}"
    done = command("validate", "-r", recipe(text("{forget: {name: gradient_ascent}}", streams)))
    assert done.code == 0
    assert "data.streams.retain" in done.err
    assert "reads this stream" in done.err


def test_weight_zero_needs_no_stream(command, recipe):
    objectives = "{forget: {name: gradient_ascent}, retain: {name: retain_kl, weight: 0}}"
    done = command("validate", "-r", recipe(text(objectives, f"{{forget: {FORGET}}}")))
    assert done.code == 0, done.err


def test_weight_zero_on_the_command_line_needs_no_stream(command, recipe):
    objectives = "{forget: {name: gradient_ascent}, retain: {name: retain_kl}}"
    path = recipe(text(objectives, f"{{forget: {FORGET}}}"))
    assert command("validate", "-r", path).code == 2
    assert command("validate", "-r", path, "--model.objectives.retain.weight", "0").code == 0


def test_streams_that_mismatch_or_a_suite_reads_are_used(parse, recipe):
    streams = (
        f"{{forget: {FORGET}, retain: {{name: qa, path: retain.jsonl}}, "
        "heldout: {name: qa, path: retain.jsonl}, "
        "mismatch: {name: mismatch, prompts: forget, answers: retain, per_prompt: 2}}"
    )
    objectives = "{forget: {name: gradient_ascent}, mismatch: {name: random_mismatch}}"
    body = text(objectives, streams).replace("evaluate: []", "evaluate: [copyright]")
    assert parse("-r", recipe(body)).warnings == []
