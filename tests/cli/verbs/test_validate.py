"""``unlearnkit validate`` on recipes with choices, downloads and an estimate of memory."""

from __future__ import annotations

import re

import pytest
from huggingface_hub import constants
from rich.filesize import decimal
from stub import save_stub

from unlearnkit.cli.recipe.shipped import shipped
from unlearnkit.models.hub import OnHub
from unlearnkit.runs.planning import described, downloads
from unlearnkit.runs.planning.described import memory_here

TOFU = ("validate", "-r", "published/tofu")


@pytest.mark.parametrize(
    "words",
    [
        (),
        # Both are right with the block that was meant, and with no other.
        ("--model.objectives.forget.layer", "3", "--data.streams.idk.limit", "3"),
    ],
)
def test_a_block_that_a_choice_does_not_have_is_the_only_mistake(command, words) -> None:
    done = command(*TOFU, "--method", "rmv", *words)
    assert done.code == 2
    assert "command line: method: there is no 'rmv'. Did you mean 'rmu'? It has: npo," in done.err
    assert "mistakes" not in done.err
    assert "model.objectives" not in done.err


def test_each_choice_without_such_a_block_is_told(command) -> None:
    done = command("validate", "-r", "published/muse", "--folds", "sust", "--method", "a",
                   "--corpus", "b")  # fmt: skip
    assert (done.code, done.err.count("there is no")) == (2, 2)
    assert "muse.yaml has 2 mistakes." in done.err


@pytest.mark.parametrize(
    ("words", "wrong", "near"),
    [
        (("published/tofu", "--methd", "npo"), "methd", "method"),
        (("published/muse", "--copus", "books"), "copus", "corpus"),
        (("published/muse", "--folds", "sust", "--copus", "books"), "copus", "corpus"),
    ],
)
def test_a_misspelt_choice_is_corrected_by_those_of_the_recipe(command, words, wrong, near) -> None:
    done = command("validate", "-r", *words)
    assert done.code == 2
    told = f"command line: {wrong}: this recipe has neither a section nor a choice '{wrong}'."
    assert f"{told} Did you mean --{near}?" in done.err
    assert "mistakes" not in done.err


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ((*TOFU[1:], "--method.x", "npo"), "method"),
        (("-r", "chosen.yaml", "--phases.one.method", "npo"), "phases[0].method"),
    ],
)
def test_a_choice_in_another_place_is_told_as_one(command, recipe, words, place) -> None:
    text = """\
model: {base: tiny, objectives: {forget: {name: gradient_ascent}}}
data: {streams: {forget: {name: qa, path: forget.jsonl}}}
choices: {method: {npo: {}, rmu: {}}}
phases: [{name: one, trainer: {max_steps: 1}}]
"""
    recipe(text, "chosen.yaml")
    done = command("validate", *words)
    assert done.code == 2
    assert f"command line: {place}: it is a choice, of which a block is taken: " in done.err
    assert "--method npo|" in done.err
    assert "Did you mean" not in done.err


def test_a_block_is_named_as_its_file_has_it(command, recipe, folder) -> None:
    choices = """\
choices:
  chat: {off: {}, "on": {model.optimizer.lr: 2.0e-4}}
  lr: {1e-4: {}, 2e-4: {}}
  "of[b]": {"[x]b": {}}
"""
    file = recipe((folder / "good.yaml").read_text() + choices)
    done = command("validate", "-r", file, "--chat", "on", "--lr", "2e-4")
    assert done.code == 0, done.err
    told = ["choice chat: on; of off, on", "choice lr: 2e-4; of 1e-4, 2e-4",
            "choice of[b]: [x]b; of [x]b"]  # fmt: skip
    assert done.out.splitlines()[:3] == told
    done = command("validate", "-r", file, "--chat", "null", "--lr", "3e-4")
    assert done.code == 2
    assert "there is no null. It has: off, on." in done.err
    assert "there is no 0.0003." in done.err


def test_another_models_reference_that_is_not_there_is_told_by_its_key(command) -> None:
    done = command("validate", "-r", "good.yaml", "--model.reference.path", "some/other")
    assert done.code == 2
    assert "  some/other: to be downloaded\n    for model.reference\n" in done.out
    assert "command line: model.reference: 'some/other' is neither a folder nor" in done.err
    assert "model.base" not in done.err


def test_a_word_like_none_is_told_with_sections_and_choices(command) -> None:
    done = command(*TOFU, "--xyz", "3")
    assert done.code == 2
    assert "It has: model, data, trainer," in done.err
    assert "Choices of this recipe: split, size, method." in done.err
    done = command("validate", "-r", "good.yaml", "--xyz", "3")
    assert (done.code, "Choices" in done.err) == (2, False)


def test_what_is_known_without_the_model_is_told_before_the_error(command, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = command(*TOFU, "--size", "3b", "--split", "forget01")
    assert done.code == 2
    assert done.out.splitlines() == [
        "choice split: forget01; of forget10, forget05, forget01",
        "choice size: 3b; of 1b, 3b, 8b",
        "choice method: npo; of npo, graddiff, gradient_ascent, dpo_idk, simnpo, rmu",
        "downloads: 3 of 3 ids of the Hub; the Hub is not asked for sizes offline",
        "  open-unlearning/tofu_Llama-3.2-3B-Instruct_full: to be downloaded",
        "    for model.base",
        "  open-unlearning/tofu_Llama-3.2-3B-Instruct_retain99: to be downloaded",
        "    for gold",
        "  locuslab/TOFU: to be downloaded",
        "    for data.streams.forget, data.streams.retain, suite tofu",
        "memory: not known without the model's config; with it: unlearnkit plan",
    ]
    told = " ".join(done.err.replace("│", " ").split())
    name = "'open-unlearning/tofu_Llama-3.2-3B-Instruct_full'"
    assert f"model.base: {name} is neither a folder nor a model that the hub gives here" in told


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (("muse",), ["MUSE-News_target", "MUSE-News_retrain", "MUSE-News"]),
        # Four requests read one data set.
        (("muse", "--folds", "sust"), ["MUSE-News_target", "MUSE-News_retrain", "MUSE-News"]),
        (("wmdp", "--domain", "bio"), ["zephyr-7b-beta", "wmdp-bio-forget-corpus", "wikitext"]),
        (("rwku",), ["Meta-Llama-3-8B-Instruct", "RWKU"]),
    ],
)
def test_each_published_recipe_names_what_it_downloads(command, words, ids) -> None:
    done = command("validate", "-r", f"published/{words[0]}", *words[1:])
    assert done.code == 2
    assert re.findall(r"  (?:\S+/)?(\S+): to be downloaded", done.out) == ids
    tasks = "tasks wmdp_bio, wmdp_chem, wmdp_cyber, mmlu: lm-evaluation-harness downloads"
    assert (tasks in done.out) == (words[0] == "wmdp")


@pytest.fixture
def cached(folder, monkeypatch) -> str:
    """A model of the Hub that is in its cache: the stub, as some/model."""
    snapshot = folder / "hub/models--some--model/snapshots/abc"
    save_stub(None, snapshot)
    (folder / "hub/models--some--model/refs").mkdir()
    (folder / "hub/models--some--model/refs/main").write_text("abc")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    return "some/model"


def test_a_model_in_the_cache_is_no_download(command, cached, folder) -> None:
    done = command("validate", "-r", "good.yaml", "--model.base", cached)
    assert done.code == 0, done.err
    files = (folder / "hub/models--some--model/snapshots/abc").iterdir()
    size = decimal(sum(each.stat().st_size for each in files))
    assert "downloads: nothing, all of it is in the cache\n" in done.out
    assert f"  some/model: in the cache, {size}\n    for model.base\n" in done.out
    assert re.search(r"\nmemory: [0-9.e-]+ GiB of main memory at the peak, ", done.out)


def test_sizes_of_the_hub_are_added_up(command, cached, monkeypatch) -> None:
    sizes = {"some/model": OnHub(False, 2_500_000_000), "a/gold": OnHub(False, remark="gated")}
    monkeypatch.setattr(downloads, "find_model", lambda repo, *_: sizes[repo])
    words = ("--model.base", cached, "--gold", "a/gold", "--evaluate", "[copyright]")
    done = command("validate", "-r", "good.yaml", *words)
    assert "downloads: 2 of 2 ids of the Hub, at least 2.5 GB" in done.out
    assert "  some/model: to be downloaded, 2.5 GB\n" in done.out
    assert "  a/gold: to be downloaded (gated)\n    for gold\n" in done.out
    # The config is at hand: it is the gold model that is not.
    assert (done.code, "memory:" in done.out, "gold: 'a/gold' is" in done.err) == (2, False, True)
    sizes["a/gold"] = OnHub(False, 500_000_000, at_most=True)
    done = command("validate", "-r", "good.yaml", *words)
    assert "downloads: 2 of 2 ids of the Hub, at most 3.0 GB" in done.out
    assert "  a/gold: to be downloaded, at most 500.0 MB\n" in done.out


def test_the_memory_is_that_of_the_function_of_plan(command, parse, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    words = ("-r", "good.yaml", "--model.lora", "{r: 4, target_modules: all-linear}")
    cli = parse(*words)
    memory, _ = memory_here(cli.model, cli.datamodule, cli.trainer)
    done = command("validate", *words, "--model.lora.lora_dropout", "0.1")
    assert done.code == 0, done.err
    told = " ".join(done.out.split())
    size = f"{memory.peak / 2**30:.3g} GiB of main memory at the peak, {memory.moment}"
    assert f"memory: {size} (computed from config and rows); model.lora.lora_dropout is" in told
    assert "on a GPU: unlearnkit plan -r good.yaml --model.lora '{r: 4," in told
    assert "--model.lora.lora_dropout 0.1 --gpu h100" in told
    assert max(map(len, done.out.splitlines())) <= 80


def test_what_has_no_estimate_says_why_and_is_validated(command) -> None:
    objectives = "{own: {name: retain_nll, stream: own}}"
    streams = "{forget: {name: qa, path: forget.jsonl}, own: {name: sampled}}"
    words = ("--model.objectives", objectives, "--data.streams", streams)
    done = command("validate", "-r", "good.yaml", *words)
    assert done.code == 0, done.err
    told = "memory: not computed: data.streams: none has rows before the model has answered\n"
    assert told in done.out


def test_a_fault_of_the_estimate_is_none_of_the_recipe(command, monkeypatch) -> None:
    def fails(*_):
        raise KeyError("float8_e4m3fn")

    monkeypatch.setattr(described, "memory_here", fails)
    done = command("validate", "-r", "good.yaml")
    assert (done.code, "memory: not computed (KeyError: 'float8_e4m3fn')" in done.out) == (0, True)


def test_the_base_of_an_edit_is_a_download_too(command, recipe) -> None:
    text = shipped()["sku"].read_text("utf-8")
    edit = "{name: negate, scale: 1.0, base: some/other}"
    changed = text.replace("{name: negate, scale: 1.0}", edit)
    assert changed != text
    done = command("validate", "-r", recipe(changed))
    assert done.code == 2  # it is not there
    told = "  some/other: to be downloaded\n    for edit.base of phase subtract\n"
    assert told in done.out


def test_the_command_of_the_plan_has_no_secrets(command) -> None:
    secret = "hf_abcdefghijklmnopqrstuvwxyz012345"
    done = command("validate", "-r", "good.yaml", "--run_dir", f"runs/{secret}")
    assert done.code == 0, done.err
    assert "on a GPU: unlearnkit plan -r good.yaml --run_dir " in done.out
    assert secret not in done.out


def test_phases_are_told_each_with_its_memory(command) -> None:
    done = command("validate", "-r", "undo")
    assert done.code == 0, done.err
    assert done.out.startswith("downloads: nothing\n")
    assert done.out.count("memory: ") == 2
    assert "on a GPU" not in done.out  # phases are not planned as a whole
