"""A recipe with mistakes; all of them at once, with key, line and the nearest name."""

import pytest

BAD = """\
model:
  base: tiny
  objectives:
    forget: {name: gradent_ascent, weight: 0.5}
    kl: {name: retain_kl}
  optimizer: {name: AdamW, leraning_rate: 1.0e-5}
data:
  batch_size: two
  streams:
    forget: {name: qa, path: forget.jsonl}
    mismatch: {name: qa, path: no_such_pool.jsonl}
trainer:
  max_steps: 1
"""


@pytest.mark.parametrize("verb", ["fit", "validate"])
def test_all_five_mistakes_in_one_go(command, recipe, verb):
    done = command(verb, "--recipe", recipe(BAD, "bad.yaml"))
    assert done.code == 2
    assert "Traceback" not in done.err
    assert "5 mistakes" in done.err
    for place, words in {
        "bad.yaml:4: model.objectives.forget.name": "Did you mean 'gradient_ascent'?",
        "bad.yaml:5: model.objectives.kl": "retain_kl reads the stream 'retain'",
        "bad.yaml:6: model.optimizer.leraning_rate": "Did you mean 'learning_rate'? It is 'lr'.",
        "bad.yaml:8: data.batch_size": "expected a whole number, found 'two'",
        "bad.yaml:11: data.streams.mismatch.path": "no_such_pool.jsonl: found no such file",
    }.items():
        assert place in done.err
        assert words in done.err
    assert "gradient_ascent, " in done.err, "the objectives are listed"


@pytest.mark.parametrize("strategy", ["deepspeed_stage_2", "{name: deepspeed, stage: 1}"])
def test_deepspeed_is_refused_whether_or_not_it_is_installed(command, strategy):
    done = command("validate", "--recipe", "copyright", "--trainer.strategy", strategy)
    assert done.code == 2
    assert "its checkpoints are pickles" in " ".join(done.err.replace("│", " ").split())
    assert "pip install" not in done.err


def test_no_model_is_loaded_for_a_bad_recipe(command, recipe, monkeypatch):
    from transformers import AutoModelForCausalLM

    def refuse(*args, **kwargs):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", refuse)
    assert command("fit", "--recipe", recipe(BAD)).code == 2


@pytest.mark.parametrize("number", ["2e-6", "2E-6", "2.0e-6", "0.000002"])
def test_number_without_a_dot_is_a_number(parse, recipe, number):
    text = f"""\
model:
  optimizer: {{name: AdamW, lr: {number}}}
  objectives: {{forget: {{name: gradient_ascent, weight: {number}}}, retain_nll: {{}}}}
data:
  streams:
    forget: {{name: qa, path: forget.jsonl}}
    retain: {{name: qa, path: retain.jsonl}}
trainer: {{max_steps: 1, accelerator: cpu}}
"""
    cli = parse("--recipe", recipe(text))
    assert cli.config.model.optimizer.init_args.lr == 2e-6
    assert cli.model.objectives["forget"].weight == 2e-6
    over = parse("--recipe", "good.yaml", "--model.optimizer.lr", number)
    assert over.config.model.optimizer.init_args.lr == 2e-6
