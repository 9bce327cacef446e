"""Where LightningCLI and jsonargparse go wrong by themselves, one test each."""

import inspect

import pytest

from unlearnkit.cli.recipe.signature import accepted
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.errors import RecipeError
from unlearnkit.families import CALLBACKS, FAMILIES, OBJECTIVES, STREAMS, SUITES
from unlearnkit.module import UnlearningModule

GOOD = ("--recipe", "good.yaml")
YAML_BOOLEANS = {"y", "n", "yes", "no", "on", "off", "true", "false"}


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.word)
def test_base_classes_are_abstract(family):
    # jsonargparse would make an object of the base class of a mistyped key.
    if family is CALLBACKS:
        assert "on_fit_start" not in vars(family.root), "a base callback does nothing"
    else:
        assert inspect.isabstract(family.root)


def test_mistyped_objective_key_makes_no_objective(command):
    done = command("fit", *GOOD, "--model.objectives.fogret.weight", "1")
    assert done.code == 2
    assert "no objective 'fogret' in this recipe. Did you mean 'forget'?" in done.err
    assert "It has: forget, retain." in done.err


def test_mistyped_stream_key_makes_no_stream(command):
    done = command("fit", *GOOD, "--data.streams.forgt.path", "x.jsonl")
    assert done.code == 2
    assert "no stream 'forgt' in this recipe. Did you mean 'forget'?" in done.err


def test_an_error_inside_an_entry_keeps_the_outer_key(parse):
    parser = parse(*GOOD).parser
    entry = {"class_path": "unlearnkit.objectives.NPO", "init_args": {"wieght": 1}}
    with pytest.raises(RecipeError) as caught:
        parser.parse_object({"model": {"objectives": {"forget": entry}}})
    assert "model.objectives" in str(caught.value)
    assert "wieght" in str(caught.value)


@pytest.mark.parametrize("text", ["model: [", "model: {a: b: c}", "\tmodel: x", "- model", ""])
def test_files_that_are_no_recipes_are_no_tracebacks(command, recipe, text):
    done = command("fit", "-r", recipe(text))
    assert done.code == 2
    assert "recipe.yaml" in done.err
    assert "Traceback" not in done.err


def test_a_recipe_that_is_not_utf8(command, folder):
    (folder / "latin.yaml").write_bytes("# café\n".encode("latin-1"))
    done = command("fit", "-r", "latin.yaml")
    assert done.code == 2
    assert "latin.yaml is not UTF-8 text" in done.err


def test_no_field_has_the_name_of_a_yaml_boolean():
    classes = [UnlearningModule, UnlearningDataModule]
    for family in FAMILIES:
        classes += family.root.registered().values()
    assert len(classes) > 10
    for cls in classes:
        assert not YAML_BOOLEANS & {name.lower() for name in accepted(cls)}, cls


def test_top_level_optimizer_is_sent_below_model(command, recipe, folder):
    text = (folder / "good.yaml").read_text()
    done = command("fit", "-r", recipe(text + "optimizer: {class_path: torch.optim.SGD}\n"))
    assert done.code == 2
    assert "It is 'model.optimizer'." in done.err


def test_model_is_not_built_while_parsing(parse):
    cli = parse(*GOOD)
    assert not list(cli.model.parameters())


def test_lightning_writes_nothing_of_its_own(parse, folder):
    before = set(folder.iterdir())
    cli = parse(*GOOD)
    assert not cli.trainer.loggers
    assert set(folder.iterdir()) == before


def test_own_file_in_the_working_directory(parse, recipe, folder):
    (folder / "my_hinge_losses.py").write_text(
        "from unlearnkit.objectives.base import Objective\n"
        "class Hinge(Objective):\n"
        "    def __init__(self, weight: float = 1.0, stream: str | None = None,\n"
        "                 margin: float = 5.0) -> None:\n"
        "        super().__init__(weight, stream)\n"
        "        self.margin = margin\n"
        "    def forward(self, views):\n"
        "        return views[self.stream].logps.mean()\n"
    )
    text = (folder / "good.yaml").read_text()
    named = text.replace(
        "{name: npo, weight: 0.5, beta: 0.2}", "{name: my_hinge_losses.Hinge, margin: 3}"
    )
    objective = parse("-r", recipe(named)).model.objectives["forget"]
    assert (type(objective).__name__, objective.margin) == ("Hinge", 3)


def test_own_file_cannot_shadow_an_installed_module(parse, folder):
    (folder / "colorsys.py").write_text("raise SystemExit('shadowed')\n")
    parse(*GOOD)
    import colorsys

    assert hasattr(colorsys, "rgb_to_hsv")


def test_only_named_modules_are_imported(parse, folder):
    (folder / "not_named_anywhere.py").write_text("raise SystemExit('imported')\n")
    parse(*GOOD)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module_of_mine.Loss", "there is no module 'no_such_module_of_mine'"),
        ("yaml.Loss", "the module 'yaml' has no 'Loss'"),
        ("json.Loss", "'json.Loss' is not a subclass of Objective and is refused"),
        ("unlearnkit.objectives.base.Objective", "is abstract"),
    ],
)
def test_dotted_paths_that_lead_nowhere(command, name, words):
    done = command("fit", *GOOD, "--model.objectives.forget", name)
    assert done.code == 2
    assert words in done.err


def test_two_keys_of_one_name(command, recipe, folder):
    text = (
        (folder / "good.yaml")
        .read_text()
        .replace("  batch_size: 2\n", "  batch_size: 2\n  batch_size: 3\n")
    )
    done = command("fit", "-r", recipe(text))
    assert done.code == 2
    assert "recipe.yaml:9: data.batch_size" in done.err
    assert "twice" in done.err


@pytest.mark.parametrize(
    ("line", "place", "words"),
    [
        ("batch_size: 3", "batch_size", "It is 'data.batch_size'."),
        ("modle: {}", "modle", "Did you mean 'model'?"),
        ("epochs: 3", "epochs", "It is 'trainer.max_epochs'."),
        ("zzzzzz: 3", "zzzzzz", "It has: model, data, trainer"),
        ("seed_everything: x", "seed_everything", "expected a whole number, found 'x'"),
        ("evaluate: [copyrigt]", "evaluate[0].name", "Did you mean 'copyright'?"),
        ("evaluate: [{name: copyright, limt: 3}]", "evaluate[0].limt", "Did you mean 'limit'?"),
    ],
)
def test_mistakes_of_a_section(command, recipe, folder, line, place, words):
    text = (folder / "good.yaml").read_text().replace("seed_everything: 7\n", "") + line + "\n"
    done = command("fit", "-r", recipe(text))
    assert done.code == 2
    assert f"recipe.yaml:{text.count(chr(10))}: {place}" in done.err
    assert words in done.err


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        ("--data.batchsize", "2", "Did you mean 'batch_size'?"),
        ("--data.tokenizer", "tiny", "this is taken from model.base"),
        ("--data.anchor", "fogret", "no stream is named 'fogret'. Did you mean 'forget'?"),
        ("--model.layout", "pakced", "Did you mean 'packed'?"),
        ("--trainer.strategy", "{name: fsdp2, shards: 2}", "Did you mean 'shard'?"),
        ("--trainer.strategy", "{name: fsdp2, shard: 5, replicate: 2}", "is 10 processes"),
        ("--model.lora.rr", "4", "LoraConfig has no argument 'rr'. Did you mean 'r'?"),
        ("--model.lora.r", "four", "expected a whole number, found 'four'"),
        ("--model.base.dtyp", "float32", "Did you mean 'dtype'?"),
        ("--model.optimizer", "AdmW", "Did you mean 'AdamW'?"),
        ("--model.objectives.forget.weight", "-1", "weight must be finite and at least 0"),
        ("--trainer.max_epoch", "2", "Did you mean 'max_epochs'?"),
        ("--trainer.callbacks", "[EarlyStoping]", "Did you mean 'EarlyStopping'?"),
        ("--modle.base", "tiny", "Did you mean"),
    ],
)
def test_mistakes_on_the_command_line(command, flag, value, words):
    done = command("fit", *GOOD, flag, value)
    assert done.code == 2, done.out
    assert words in done.err
    assert "Traceback" not in done.err


def test_families_have_members():
    assert {"npo", "gradient_ascent"} <= set(OBJECTIVES.root.registered())
    assert {"qa", "text", "mismatch"} <= set(STREAMS.root.registered())
    assert "copyright" in SUITES.root.registered()
    assert "collapse_stop" in CALLBACKS.root.registered()


def test_a_run_without_an_end_is_refused(command, recipe, folder):
    text = (folder / "good.yaml").read_text().replace("max_steps: 1, ", "")
    done = command("fit", "-r", recipe(text))
    assert done.code == 2
    assert "give max_epochs or max_steps" in done.err


def test_a_misspelled_end_is_one_mistake(command, recipe, folder):
    text = (folder / "good.yaml").read_text().replace("max_steps: 1, ", "max_step: 1, ")
    done = command("fit", "-r", recipe(text))
    assert done.code == 2
    assert "Did you mean 'max_steps'?" in done.err
    assert "give max_epochs or max_steps" not in done.err


def test_values_can_be_appended_and_set_in_lists(parse):
    words = (
        "--evaluate+",
        "copyright",
        "--evaluate.0.limit",
        "3",
        "--trainer.callbacks+=ModelSummary",
    )
    cli = parse(*GOOD, *words)
    assert [suite.limit for suite in cli.suites] == [3]
    assert "ModelSummary" in [type(each).__name__ for each in cli.trainer.callbacks]


def test_an_index_behind_the_end_of_a_list(command):
    done = command("fit", *GOOD, "--evaluate", "[copyright]", "--evaluate.4.limit", "3")
    assert done.code == 2
    assert "evaluate[4].limit" in done.err


@pytest.mark.parametrize("section", ["model", "data", "trainer"])
@pytest.mark.parametrize("value", ["3", "[]", "null", "text"])
def test_a_section_that_is_no_mapping(command, recipe, folder, section, value):
    text = (folder / "good.yaml").read_text() + f"{section}: {value}\n"
    done = command("fit", "-r", recipe(text))
    assert done.code == 2
    assert section in done.err
    assert "Traceback" not in done.err


def test_an_option_without_a_value(command):
    done = command("fit", *GOOD, "--data.batch_size")
    assert done.code == 2
    assert "--data.batch_size is given no value" in done.err


def test_a_stream_of_a_suite_in_the_short_form(parse):
    suite = "{name: copyright, heldout: {name: qa, path: retain.jsonl}}"
    (found,) = parse(*GOOD, "--evaluate", suite).suites
    assert found.sources["heldout"].path == "retain.jsonl"


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--model.objectives.forget.weight", ".nan"),
        ("--model.objectives.forget.beta", ".inf"),
        ("--model.optimizer.lr", "-.inf"),
        ("--model.warmup", ".nan"),
        ("--model.lora", "{r: 2, lora_dropout: .nan}"),
        ("--trainer.gradient_clip_val", ".nan"),
        ("--trainer.callbacks", "[{name: collapse_stop, forget_nll: .nan}]"),
    ],
)
def test_what_is_not_a_finite_number_is_named(command, folder, flag, value):
    done = command("fit", *GOOD, flag, value)
    assert done.code == 2
    assert "expected a finite number, found" in done.err
    assert flag.removeprefix("--") in done.err
    assert not (folder / "runs").exists()


def test_an_infinite_ceiling_is_one(command):
    ceiling = "[{name: collapse_stop, forget_nll: .inf}]"
    assert command("validate", *GOOD, "--trainer.callbacks", ceiling).code == 0


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("trainer.accumulate_grad_batches", "0"),
        ("trainer.accumulate_grad_batches", "-2"),
        ("trainer.overfit_batches", "2"),
        ("data.num_workers", "-1"),
    ],
)
@pytest.mark.parametrize("verb", ["validate", "fit"])
def test_numbers_by_which_no_step_can_be_laid_out_are_named(command, folder, verb, flag, value):
    done = command(verb, *GOOD, f"--{flag}", value)
    assert done.code == 2
    assert f"{flag}: " in done.err
    assert not (folder / "runs").exists()


def test_a_warm_up_below_0_is_refused(command):
    done = command("validate", *GOOD, "--model.warmup", "-1")
    assert done.code == 2
    assert "model.warmup: expected 0 or more" in done.err
