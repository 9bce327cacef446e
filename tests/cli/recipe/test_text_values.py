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


@pytest.fixture
def norway(tmp_path, recipe):
    """A recipe of rows of text that reads as something else, and what it selects."""
    rows = ["a,A baker.,no,01", "b,A sailor.,yes,1", "c,A lawyer.,no,1e3"]
    (tmp_path / "forget.csv").write_text("\n".join(["prompt,response,keep,code", *rows]))

    def norway(where, name="norway.yaml"):
        streams = f"{{forget: {{name: qa, path: forget.csv, where: {where}}}}}"
        return recipe(
            "model: {objectives: {forget: {name: gradient_ascent}}}\n"
            f"data: {{streams: {streams}}}\ntrainer: {{max_steps: 1}}\n",
            name,
        )

    return norway


def selected(cli):
    stream = cli.datamodule.streams["forget"]
    samples, _ = stream.parse(stream.read())
    return "".join(sample.prompt for sample in samples)


@pytest.mark.parametrize(
    ("where", "right"),
    [
        ('{keep: "no"}', "ac"),
        ("{keep: 'yes'}", "b"),
        ('{code: "01"}', "a"),
        ('{code: "1"}', "b"),
        ('{code: "1e3"}', "c"),
        ('{"keep": "no", code: "01"}', "a"),
    ],
)
def test_quoted_values_select_text_also_after_a_round_trip(parse, recipe, norway, where, right):
    cli = parse("-r", norway(where))
    assert selected(cli) == right
    again = parse("-r", recipe(cli.recipe_text, "again.yaml"))
    assert again.datamodule.streams["forget"].where == cli.datamodule.streams["forget"].where
    assert selected(again) == right


@pytest.mark.parametrize(
    ("option", "right"),
    [
        (("--data.streams.forget.where.keep", '"no"'), "ac"),
        (("--data.streams.forget.where.code", '"01"'), "a"),
        (("--data.streams.forget.where", '{code: "1e3"}'), "c"),
    ],
)
def test_quotes_within_quotes_give_text_at_the_shell(parse, norway, option, right):
    where = "{}" if option[0].endswith("where") else "{" + option[0].rpartition(".")[2] + ": x}"
    assert selected(parse("-r", norway(where), *option)) == right


@pytest.mark.parametrize("option", [(), ("--data.streams.forget.where.keep", "no")])
def test_an_unquoted_no_that_matches_nothing_says_quote_it(command, norway, option):
    done = command("validate", "-r", norway("{keep: no}"), *option)
    assert done.code == 2
    assert "found 0 rows, expected at least one with keep: false" in done.err
    assert 'Without quotes it is read as false, and the file holds text: keep: "no"' in done.err


@pytest.mark.parametrize("name", ["no", "01", "1e3", "on"])
def test_names_of_fields_are_text_as_written(parse, recipe, tmp_path, name):
    (tmp_path / "odd.jsonl").write_text(
        f'{{"prompt": "a", "response": "b", "{name}": "x"}}\n{{"prompt": "c", "response": "d"}}\n'
    )
    text = (
        "model: {objectives: {forget: {name: gradient_ascent}}}\n"
        f"data: {{streams: {{forget: {{name: qa, path: odd.jsonl, where: {{{name}: x}}}}}}}}\n"
        "trainer: {max_steps: 1}\n"
    )
    cli = parse("-r", recipe(text))
    assert cli.datamodule.streams["forget"].where == {name: "x"}
    assert selected(cli) == "a"
    again = parse("-r", recipe(cli.recipe_text, "again.yaml"))
    assert again.datamodule.streams["forget"].where == {name: "x"}


@pytest.mark.parametrize("value", ["no", "1", "1e3", "010"])
def test_text_that_is_read_as_something_else_is_asked_to_be_quoted(command, recipe, value):
    done = command("validate", "-r", recipe(RECIPE.format(system=value)))
    assert done.code == 2
    assert "recipe.yaml:4: data.streams.forget.system" in done.err
    assert "Quote it if it is meant as text" in done.err


@pytest.mark.parametrize("value", ["no", "on", "01", "1e3", "0x1F", "2024-01-01", "1:30", "1_0"])
def test_quoted_text_stays_text_in_every_key_of_text(parse, recipe, value):
    cli = parse("-r", recipe(RECIPE.format(system=f'"{value}"')))
    assert cli.datamodule.streams["forget"].system == value
    again = parse("-r", recipe(cli.recipe_text, "again.yaml"))
    assert again.datamodule.streams["forget"].system == value
