"""Values given on the command line, and several recipes."""

from pathlib import Path

import pytest

from unlearnkit.errors import RecipeError
from unlearnkit.objectives import NPO, GradientAscent, RetainKL

GOOD = ("--recipe", "good.yaml")


@pytest.mark.parametrize("flag", ["--recipe", "-r", "--config", "-c"])
def test_recipe_flag_and_its_aliases(parse, flag):
    assert parse(flag, "good.yaml").config.seed_everything == 7


@pytest.mark.parametrize(
    "words",
    [
        ("--model.objectives.forget.weight", "0.9"),
        ("--model.objectives.forget.weight=0.9",),
        ("--model.objectives.forget.init_args.weight", "0.9"),
    ],
)
def test_one_value_of_an_objective(parse, words):
    objective = parse(*GOOD, *words).model.objectives["forget"]
    assert (objective.weight, objective.beta) == (0.9, 0.2)


@pytest.mark.parametrize(
    "name", ["gradient_ascent", "unlearnkit.objectives.GradientAscent", "GradientAscent"]
)
def test_swap_keeps_the_weight_and_drops_what_the_new_class_does_not_take(parse, name):
    if name == "GradientAscent":
        with pytest.raises(RecipeError, match="no objective is named 'GradientAscent'"):
            parse(*GOOD, "--model.objectives.forget", name)
        return
    objective = parse(*GOOD, "--model.objectives.forget", name).model.objectives["forget"]
    assert type(objective) is GradientAscent
    assert objective.weight == 0.5


def test_swap_by_the_name_key(parse):
    cli = parse(*GOOD, "--model.objectives.forget.name", "gradient_ascent")
    assert type(cli.model.objectives["forget"]) is GradientAscent


def test_swap_and_set(parse):
    words = ("--model.objectives.retain", "npo", "--model.objectives.retain.beta", "0.3")
    objective = parse(*GOOD, *words).model.objectives["retain"]
    assert (type(objective), objective.beta) == (NPO, 0.3)


def test_whole_entry_in_the_short_form(parse):
    cli = parse(*GOOD, "--model.objectives.forget", "{name: npo, beta: 0.7}")
    assert (cli.model.objectives["forget"].weight, cli.model.objectives["forget"].beta) == (1, 0.7)


def test_add_an_objective(parse):
    cli = parse(*GOOD, "--model.objectives.extra", "{name: retain_nll, weight: 2}")
    assert list(cli.model.objectives) == ["forget", "retain", "extra"]
    assert cli.model.objectives["extra"].weight == 2


def test_swap_of_a_stream_keeps_its_path(parse):
    cli = parse(
        *GOOD, "--data.streams.forget", "text", "--data.streams.forget.text_field", "prompt"
    )
    assert cli.datamodule.streams["forget"].path == "forget.jsonl"


def test_suites_and_callbacks(parse):
    words = ("--evaluate", "copyright", "--trainer.callbacks", "[{name: collapse_stop}]")
    cli = parse(*GOOD, *words)
    assert [suite.registered_name for suite in cli.suites] == ["copyright"]
    assert "CollapseStop" in [type(each).__name__ for each in cli.trainer.callbacks]


def test_optimizer_by_name_and_by_one_value(parse):
    optimizer = parse(*GOOD, "--model.optimizer.lr", "0.25").config.model.optimizer
    assert (optimizer.class_path, optimizer.init_args.lr) == ("torch.optim.AdamW", 0.25)
    optimizer = parse(*GOOD, "--model.optimizer", "sgd").config.model.optimizer
    assert (optimizer.class_path, optimizer.init_args.lr) == ("torch.optim.SGD", 1e-4)


def test_optimizer_without_a_name_is_adamw(parse, recipe, folder):
    text = (folder / "good.yaml").read_text().replace("{name: AdamW, lr: 1.0e-4}", "{lr: 0.5}")
    optimizer = parse("-r", recipe(text)).config.model.optimizer
    assert (optimizer.class_path, optimizer.init_args.lr) == ("torch.optim.AdamW", 0.5)


def test_lora(parse):
    lora = parse(
        *GOOD, "--model.lora.r", "4", "--model.lora.target_modules", "all-linear"
    ).model.lora
    assert (lora.r, lora.target_modules) == (4, "all-linear")


def test_a_later_recipe_wins_and_replaces_objectives_whole(parse, recipe):
    later = recipe("model: {objectives: {forget: {name: gradient_ascent}}}\n", "later.yaml")
    cli = parse(*GOOD, "-r", later)
    assert list(cli.model.objectives) == ["forget"]
    assert cli.model.objectives["forget"].weight == 1
    assert cli.config.seed_everything == 7


def test_an_objective_cannot_be_taken_out_but_weighed_zero(parse):
    with pytest.raises(RecipeError) as caught:
        parse(*GOOD, "--model.objectives.retain", "null")
    assert "weight of 0" in str(caught.value)
    cli = parse(*GOOD, "--model.objectives.retain.weight", "0")
    assert list(cli.model.active) == ["forget"]


def test_base_and_seed_are_linked(parse):
    cli = parse(*GOOD, "--model.base", "tiny/gold", "--seed_everything", "11")
    assert cli.config.data.tokenizer == "tiny/gold"
    assert cli.datamodule.seed == 11


def test_print_recipe_holds_every_default_and_can_be_run_again(command, recipe):
    first = command("fit", *GOOD, "--print_recipe")
    assert first.code == 0
    assert "gradient_checkpointing: false" in first.out
    assert "name: retain_kl\n" in first.out
    assert "unlearnkit." not in first.out
    again = command("fit", "-r", recipe(first.out, "printed.yaml"), "--print_recipe")
    assert again.out == first.out


def test_a_saved_recipe_is_the_printed_one(command, parse):
    assert parse(*GOOD).recipe_text == command("fit", *GOOD, "--print_recipe").out


def test_every_key_in_help_all(command):
    done = command("fit", "--help_all")
    assert done.code == 0
    for key in ("--model.objectives", "--data.batch_size", "--trainer.max_steps", "--run_dir"):
        assert key in done.out


@pytest.mark.parametrize("value", ["npo", "{class_path: unlearnkit.objectives.NPO}", "{}", "null"])
def test_forms_of_an_entry(parse, recipe, folder, value):
    old = "forget: {name: npo, weight: 0.5, beta: 0.2}"
    text = (folder / "good.yaml").read_text()
    assert old in text
    objectives = parse("-r", recipe(text.replace(old, f"npo: {value}"))).model.objectives
    assert type(objectives["npo"]) is NPO
    assert type(objectives["retain"]) is RetainKL


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("--modl.x", "3"), "modl"),
        (("--model.lorra.r", "3"), "model.lorra"),
        (("--evaluate", "[copyrigt]"), "evaluate[0].name"),
        (("--evaluate+", "copyrigt"), "evaluate[1].name"),
        (
            ("--model.objectives", "{forget: {name: npo, betta: 3}}"),
            "model.objectives.forget.betta",
        ),
        (("--model.objectives.forget", "{name: npo, betta: 3}"), "model.objectives.forget.betta"),
        (("--model.objectives.forget", "npp"), "model.objectives.forget.name"),
        (
            ("--data.streams.forget", "{name: qa, path: forget.jsonl, pth: a}"),
            "data.streams.forget.pth",
        ),
    ],
)
def test_a_mistake_of_the_command_line_is_said_to_be_there(command, recipe, words, key):
    good = Path("good.yaml").read_text()
    done = command("validate", "-r", recipe(good + "evaluate: [copyright]\n"), *words)
    assert done.code == 2
    assert f"command line: {key}: " in done.err
    assert "recipe.yaml:" not in done.err


def test_what_a_new_name_keeps_is_still_the_file_s(command, recipe):
    text = Path("good.yaml").read_text().replace("weight: 0.5", "weight: x")
    assert "weight: x" in text
    done = command("validate", "-r", recipe(text), "--model.objectives.forget", "simnpo")
    assert "recipe.yaml:" in done.err
    assert "weight: expected a number, found 'x'" in done.err
