"""Mistakes inside a list of mappings."""

import pytest

RECIPE = """\
model:
  objectives: {{forget: {{name: gradient_ascent}}}}
data:
  streams: {{forget: {{name: qa, path: forget.jsonl, responses: {columns}}}}}
trainer: {{max_steps: 1}}
"""


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("[{feild: a}]", "ResponseColumn has no argument 'feild'. Did you mean 'field'?"),
        ("[{field: a}, {field: 3}]", "responses[1].field: expected text, found 3"),
        ("[{where: {safe: false}}]", "responses[0]: 'field' is missing"),
        ("[a]", "responses[0]: expected a mapping of arguments, found 'a'"),
    ],
)
def test_a_mistake_inside_a_list_of_mappings_has_its_place(command, recipe, columns, message):
    refused = command("validate", "--recipe", recipe(RECIPE.format(columns=columns)))
    assert refused.code == 2
    assert message in refused.err


def test_an_argument_with_a_mistake_deep_inside_is_not_used(command, recipe):
    text = RECIPE.format(columns="[{field: response}]").replace(
        "{name: gradient_ascent}", "{name: nll, stream: [[{init_args: .nan}]]}"
    )
    refused = command("validate", "--recipe", recipe(text))
    assert refused.code == 2
    assert "model.objectives.forget.stream[0][0].init_args" in refused.err
