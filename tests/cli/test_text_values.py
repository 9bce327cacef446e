"""Texts of a recipe that a second reading as YAML would change."""

import pytest

RECIPE = """\
model:
  objectives: {{forget: {{name: gradient_ascent}}}}
data:
  streams: {{forget: {{name: chat, path: forget.jsonl, system: {system}}}}}
trainer: {{max_steps: 1}}
"""


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ('"# Rules"', "# Rules"),
        ('"~"', "~"),
        ('"12"', "12"),
        ('"{a: b}"', "{a: b}"),
        ('"a: b"', "a: b"),
        ("null", None),
    ],
)
def test_a_text_stays_as_it_is(parse, recipe, written, meant):
    cli = parse("-r", recipe(RECIPE.format(system=written)))
    assert cli.datamodule.streams["forget"].system == meant
    again = parse("-r", recipe(cli.recipe_text, "again.yaml"))
    assert again.datamodule.streams["forget"].system == meant
