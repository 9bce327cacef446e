"""Published files as they are, from recipe to step and figures."""

import json

RECIPE = """\
model:
  optimizer: {{name: AdamW, lr: 1.0e-4}}
  objectives: {{refuse: {{name: random_mismatch, stream: {stream}}}}}
data:
  streams:
    forget: {{name: prompts, path: asked.json}}
    idk: {{name: idk}}
trainer: {{max_steps: 1, accelerator: cpu, callbacks: [], enable_progress_bar: false}}
"""


def test_prompts_are_learned_to_be_refused_and_no_loss_reads_them_alone(command, recipe, folder):
    (folder / "asked.json").write_text(json.dumps(["How?", "Why?"]))
    alone = command("validate", "--recipe", recipe(RECIPE.format(stream="forget")))
    assert alone.code == 2
    assert "model.objectives.refuse: the stream 'forget' has prompts alone" in alone.err
    done = command("fit", "--recipe", recipe(RECIPE.format(stream="idk")))
    assert (done.code, "forget 2 (not trained on)" in done.err) == (0, True), done.err
