"""What earlier versions left on disk is read, wherever the code of its classes is now."""

import json
import pickletools
import re
import zipfile
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from unlearnkit.families import FAMILIES, named
from unlearnkit.functional import offset_logits, uld_logits, whp_logits
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.runs import load_run

ARCHIVES = sorted((Path(__file__).parent / "stored").glob("*.zip"))
RUN = "runs/recipe/2026-11-28_12-00-00"
PHASED = "runs/phases/2026-11-28_12-00-00"
OURS = re.compile(r"unlearnkit(\.\w+)+\.(\w+)")
CPU = ("--trainer.accelerator", "cpu", "--trainer.enable_progress_bar", "false")


@pytest.fixture(params=ARCHIVES, ids=lambda file: file.stem)
def stored(request, folder):
    """The archive unpacked into the working directory, with every module of ours moved since."""
    with zipfile.ZipFile(request.param) as archive:
        archive.extractall(folder)
    for file in folder.rglob("*.json"):
        file.write_text(file.read_text().replace("FOLDER", str(folder)))
    for file in folder.rglob("*.yaml"):
        file.write_text(moved(file.read_text()))
    return folder


def moved(text: str) -> str:
    """A text whose class paths inside the package lead nowhere any more."""
    return OURS.sub(r"unlearnkit.gone.away.\2", text)


def without_new(now, before):
    """What a recipe says, without arguments that the earlier version did not have."""
    if isinstance(now, dict) and isinstance(before, dict):
        return {key: without_new(now[key], before[key]) for key in now if key in before}
    if isinstance(now, list) and isinstance(before, list) and len(now) == len(before):
        return [without_new(*pair) for pair in zip(now, before, strict=True)]
    return now


def test_every_registered_class_is_found_by_the_last_part_of_its_path(stored):
    paths = json.loads((stored / "class_paths.json").read_text())
    assert {family.word for family in FAMILIES} >= set(paths)
    for family in FAMILIES:
        for name, path in paths.get(family.word, {}).items():
            found = family.root.at_path(moved(path))
            assert found is family.root.resolve(name), path
    # Two families have an `idk`.
    objectives, streams = (f.root for f in FAMILIES if "idk" in paths.get(f.word, {}))
    assert objectives.at_path(moved(paths["stream"]["idk"])) is None
    assert streams.at_path(moved(paths["objective"]["idk"])) is None


def test_a_recipe_is_run_and_written_with_names(stored, command):
    done = command("fit", "-r", "recipe.yaml", *CPU, "--run_dir", "again")
    assert done.code == 0, done.err
    assert done.err.count("class paths inside unlearnkit") == 1
    (summary,) = (stored / "again").rglob("summary.json")
    text = (summary.parent / "recipe.yaml").read_text()
    assert "unlearnkit." not in text
    before, now = yaml.safe_load((stored / "recipe.yaml").read_text()), yaml.safe_load(text)
    assert now["model"]["objectives"]["forget"]["name"] == "npo"
    assert now["model"]["lora"]["r"] == 1
    assert [each.get("name") for each in now["trainer"]["callbacks"]][:2] == [
        "collapse_stop", "evaluate_every",
    ]  # fmt: skip
    saving = now["trainer"]["callbacks"][2]
    assert saving["class_path"] == "lightning.pytorch.callbacks.ModelCheckpoint"
    assert now["evaluate"][1]["streams"]["first"]["name"] == "text"
    # The run is told apart by nothing but its folder, also where runs are compared.
    assert without_new(now, named(before)) == named(before) | {"run_dir": "again"}
    table = command("compare", RUN, str(summary.parent), "--format", "json")
    assert table.code == 0, table.err
    assert [len(each["runs"]) for each in json.loads(table.out)["columns"]][-1] == 2
    again = command("fit", "-r", str(summary.parent / "recipe.yaml"), "--print_recipe")
    assert (again.out, "class paths" in again.err) == (text, False)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("model.objectives.forget.class_path", "unlearnkit.gone.SimNPO"),
        ("model.objectives.forget", "{class_path: unlearnkit.gone.SimNPO, init_args: {beta: 2}}"),
        ("model.lora", "{class_path: unlearnkit.gone.LoraConfig, init_args: {r: 3}}"),
    ],
)
def test_an_override_names_a_class_by_an_old_path(stored, command, key, value):
    done = command("fit", "-r", "recipe.yaml", f"--{key}", value, "--print_recipe")
    assert done.code == 0, done.err
    model = yaml.safe_load(done.out)["model"]
    expected = ("simnpo", 1) if "forget" in key else ("npo", 3)
    assert (model["objectives"]["forget"]["name"], model["lora"]["r"]) == expected


def test_a_class_of_the_wrong_family_is_refused(stored, command):
    done = command("fit", "-r", "recipe.yaml", "--data.streams.idk", "unlearnkit.gone.IDK")
    assert done.code == 2
    assert "unlearnkit list" in done.err


def test_a_run_is_evaluated_attacked_exported_reported_and_continued(stored, command):
    for words in (
        ("evaluate", RUN, "--device", "cpu"),
        ("evaluate", RUN, "--device", "cpu", "--suite", SUITE),
        ("attack", RUN, "relearn", "--rows", "1", "--steps", "1", "--every", "1"),
        ("generate", RUN, "ab", "--against", "base", "--max_new_tokens", "2"),
        ("export", RUN, "plain"),
        ("export", RUN, "merged", "--merge"),
    ):
        done = command(*words)
        assert done.code == 0, done.err
    ids = torch.tensor([[4, 5, 6]])
    expected = load_model(RUN)(ids).logits
    assert not torch.equal(expected, load_model("base")(ids).logits)
    for folder in ("plain", "merged"):
        torch.testing.assert_close(load_model(folder)(ids).logits, expected)


SUITE = "{class_path: unlearnkit.gone.Privacy, init_args: {holdout: retain.jsonl, limit: 2}}"


def test_a_report_shows_what_was_found_of_the_run_then(stored, command):
    done = command("report", RUN)
    assert done.code == 0, done.err
    page = (stored / RUN / "report.html").read_text()
    assert "does not belong to this model" not in page
    assert "is not what" not in page
    assert "prefix" in page


def test_training_goes_on_from_a_checkpoint_to_the_weights_of_then(stored, command):
    checkpoint = f"{RUN}/checkpoints/epoch=0-step=1.ckpt"
    words = ("--ckpt_path", checkpoint, "--run_dir", "again", "--evaluate", "[]")
    done = command("fit", "-r", f"{RUN}/recipe.yaml", *CPU, *words)
    # Without suites there is nothing that `evaluate_every` could run.
    assert done.code == 2
    done = command("fit", "-r", f"{RUN}/recipe.yaml", *CPU, *words[:4])
    assert done.code == 0, done.err
    (found,) = (stored / "again").rglob("adapter_model.safetensors")
    before = load_file(stored / RUN / "model" / "adapter_model.safetensors")
    start = torch.load(checkpoint, weights_only=True)["state_dict"]
    for name, each in load_file(found).items():
        torch.testing.assert_close(each, before[name])
        key = f"policy.{name.replace('.weight', '.default.weight')}"
        assert not torch.equal(each, start[key])


def test_a_checkpoint_holds_no_class_of_ours(stored):
    (file,) = (stored / RUN / "checkpoints").iterdir()
    with zipfile.ZipFile(file) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith("data.pkl"))
        found = [arg for code, arg, _ in pickletools.genops(archive.read(name)) if arg]
    assert any(str(each).startswith("torch") for each in found)
    assert not [each for each in found if OURS.match(str(each))]


def test_an_unfinished_run_in_phases_goes_on(stored, command):
    done = command("fit", "-r", "phases.yaml", *CPU, "--ckpt_path", "last")
    assert done.code == 0, done.err
    assert "ascent was finished before" in done.out
    run = load_run(stored / PHASED)
    assert [each["folder"] for each in run.summary["phases"]] == ["ascent", "repair"]
    assert "unlearnkit." not in (stored / PHASED / "repair" / "recipe.yaml").read_text()


def test_models_of_edits_answer_as_they_did(stored, monkeypatch):
    """A model's folder names its kind, and no module."""
    for file in (stored / "models").rglob("*.json"):
        assert not OURS.search(file.read_text()), file
    ids = torch.tensor([[4, 5, 6, 7]])
    base, gold = (load_model(name)(ids).logits for name in ("base", "gold"))
    places = {file.name: str(file) for file in (stored / "models").iterdir()}
    for each in map(load_model, places.values()):
        for cls in (type(each), type(each.config)):
            monkeypatch.setattr(cls, "__module__", "unlearnkit.gone")
    found = {name: load_model(place) for name, place in places.items()}
    expected = {
        "offset": offset_logits(base, gold, base, 0.5),
        "uld": uld_logits(base, gold),
        "whp": whp_logits(base, gold),
    }
    for name, logits in expected.items():
        torch.testing.assert_close(found[name](ids).logits, logits)
    old, other = (load_file(f"{name}/model.safetensors") for name in ("base", "gold"))
    for name, each in load_file("models/negate/model.safetensors").items():
        torch.testing.assert_close(each, old[name] - 0.5 * (other[name] - old[name]))
    # Examples stand in front of the prompt.
    before = torch.tensor([json.loads(Path("models/erase/config.json").read_text())["context_ids"]])
    whole = load_model("base")(torch.cat([before, ids], dim=1)).logits
    torch.testing.assert_close(found["erase"](ids).logits, whole[:, before.shape[1] :])
    # The gate of a forget prompt lets the run's adapter through, all but 3e-4 of it.
    prompt = torch.tensor([load_tokenizer("base")("ab c")["input_ids"]])
    record = json.loads(Path("models/o3/gate.json").read_text())
    assert record[0]["prompt"] == "ab c"
    weight = found["o3"].gate_weights(prompt)
    torch.testing.assert_close(weight.item(), record[0]["weight"], atol=1e-4, rtol=0)
    torch.testing.assert_close(
        found["o3"](prompt).logits, load_model(RUN)(prompt).logits, atol=1e-3, rtol=0
    )
