"""Every edit and every model made of others is exported; whole, it needs nothing outside."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from edited import (
    add_task_vectors,
    delete_examples,
    erase_model,
    o3_model,
    offset_model,
    uld_model,
    whp_model,
)
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from stub import save_stub, stub_tokenizer
from transformers import AutoModelForCausalLM, BertConfig, BertModel

from unlearnkit import UserError, export
from unlearnkit.data.example import Example
from unlearnkit.engine.generation.generate import generate
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.runs.evaluate import fingerprint_of

PROMPTS = [[4, 4, 5, 4], [6, 6, 7, 6], [8, 9, 8]]
IDS = torch.tensor([[4, 4, 5, 4], [6, 6, 7, 6]])


@pytest.fixture
def models(tmp_path):
    for seed, name in enumerate(("base", "tuned", "other"), start=1):
        save_stub({"random_init": seed}, tmp_path / "in" / name)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "in" / "base")
    torch.manual_seed(0)
    config = LoraConfig(r=2, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(model, config).save_pretrained(tmp_path / "in" / "adapter")
    stub_tokenizer().save_pretrained(tmp_path / "in" / "adapter")
    torch.manual_seed(0)
    small = BertConfig(vocab_size=10, hidden_size=12, num_hidden_layers=1, num_attention_heads=2,
                       intermediate_size=8)  # fmt: skip
    BertModel(small).save_pretrained(tmp_path / "in" / "encoder")
    stub_tokenizer({"add_bos": True}).save_pretrained(tmp_path / "in" / "encoder")
    return tmp_path / "in"


def offset(models, out):
    first = BaseModel(str(models / "other"), first_blocks=1)
    return offset_model(str(models / "base"), str(models / "tuned"), first, out, alpha=0.5)


def uld(models, out):
    return uld_model(str(models / "base"), str(models / "tuned"), out)


def whp(models, out):
    return whp_model(str(models / "base"), str(models / "adapter"), out, alpha=2.0)


def o3(models, out, **options):
    pytest.importorskip("sklearn")
    prompts = [[4, 4, 5, 4], [4, 5, 5], [5, 4, 4, 4, 5], [4, 5], [5, 5, 4, 5]]
    return o3_model(str(models / "base"), [models / "adapter"], [prompts], out, **options)


def o3_with_encoder(models, out):
    return o3(models, out, encoder=str(models / "encoder"))


def erase(models, out, base=None):
    rows = [
        Example((4 + a, 4 + b), (4 + b, 3), 4 * a + b, f"rows.jsonl:{4 * a + b + 1}")
        for a in range(4)
        for b in range(4)
    ]
    erase_model(base or str(models / "base"), rows, models / "all", k=2)
    delete_examples(models / "all", rows[:2], out)
    return out


def erase_on_whp(models, out):
    return erase(models, out, str(whp(models, models / "whp")))


WRAPPERS = [offset, uld, whp, o3, o3_with_encoder, erase, erase_on_whp]


def answers(folder):
    model = load_model(BaseModel(str(folder), dtype="auto"))
    tokenizer = load_tokenizer(str(folder))
    found = generate(model, tokenizer, PROMPTS, max_new_tokens=6)
    return [each.text for each in found], model(IDS).logits


def outside(folder):
    """Paths that any config below the folder names and that are not in it."""
    named = [
        pointer["path"]
        for file in folder.rglob("config.json")
        for pointer in json.loads(file.read_text()).get("parts", {}).values()
    ]
    return [path for path in named if not path.startswith("parts/")]


@pytest.mark.parametrize("make", WRAPPERS, ids=lambda make: make.__name__)
def test_a_whole_export_answers_the_same_where_nothing_else_is(models, tmp_path, make):
    made = make(models, models / "made")
    texts, logits = answers(made)
    assert outside(made)
    assert export(made, tmp_path / "out", merge=True) == tmp_path / "out"
    before = fingerprint_of(str(tmp_path / "out"))
    shutil.rmtree(models)
    moved = (tmp_path / "out").rename(tmp_path / "moved")
    assert outside(moved) == []
    assert fingerprint_of(str(moved)) == before
    found, again = answers(moved)
    assert found == texts
    assert torch.equal(again, logits)
    # What is saved of it elsewhere points at it.
    load_model(BaseModel(str(moved), dtype="auto")).save_pretrained(tmp_path / "again")
    load_tokenizer(str(moved)).save_pretrained(tmp_path / "again")
    assert all(path.startswith(str(moved)) for path in outside(tmp_path / "again"))
    assert torch.equal(answers(tmp_path / "again")[1], logits)


@pytest.mark.parametrize("make", WRAPPERS, ids=lambda make: make.__name__)
def test_a_plain_export_points_where_the_folder_did(models, tmp_path, make):
    made = make(models, models / "made")
    out = export(made, tmp_path / "out")
    assert outside(out) == outside(made)
    assert answers(out)[0] == answers(made)[0]


@pytest.mark.parametrize("merge", [False, True])
def test_a_weight_edit_is_a_model_like_any_other(models, tmp_path, merge):
    base, tuned = str(models / "base"), str(models / "tuned")
    made = add_task_vectors(base, [tuned], -1.0, models / "made")
    out = export(made, tmp_path / "out", merge=merge)
    shutil.rmtree(models)
    plain = AutoModelForCausalLM.from_pretrained(out, dtype="auto")
    texts, logits = answers(out)
    assert torch.equal(plain(IDS).logits, logits)
    assert len(texts) == len(PROMPTS)


def test_an_adapters_folder_is_merged(models, tmp_path):
    out = export(models / "adapter", tmp_path / "out", merge=True)
    expected = load_model(BaseModel(str(models / "adapter"), dtype="auto"))(IDS).logits
    plain = AutoModelForCausalLM.from_pretrained(out, dtype="auto")
    assert torch.equal(plain(IDS).logits, expected)
    copied = export(models / "adapter", tmp_path / "copied")
    weights = load_file(copied / "adapter_model.safetensors")
    given = load_file(models / "adapter" / "adapter_model.safetensors")
    assert all(torch.equal(weights[name], given[name]) for name in given)


def test_rows_are_deleted_from_a_whole_export(models, tmp_path):
    made = export(erase(models, models / "made"), tmp_path / "out", merge=True)
    shutil.rmtree(models)
    (row,) = [line for line in (made / "examples.jsonl").open() if "rows.jsonl:7" in line]
    known = json.loads(row)
    gone = Example(tuple(known["prompt_ids"]), tuple(known["response_ids"]), 6, known["source"])
    delete_examples(made, [gone], tmp_path / "less")
    assert outside(tmp_path / "less") == [str((made / "parts" / "base").resolve())]
    answers(tmp_path / "less")


def test_a_part_that_was_changed_is_named_and_nothing_is_written(models, tmp_path):
    made = whp(models, models / "made")
    save_stub({"random_init": 9}, models / "base")
    with pytest.raises(UserError, match=r"its part 'base' .*no longer the model it was"):
        export(made, tmp_path / "out", merge=True)
    shutil.rmtree(models / "base")
    with pytest.raises(UserError, match="its part 'base'"):
        export(made, tmp_path / "out", merge=True)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["in"]


def test_the_base_below_a_part_that_is_an_adapter_belongs_to_it(models, tmp_path):
    shutil.copytree(models / "base", models / "below")
    file = models / "adapter" / "adapter_config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | {"base_model_name_or_path": str(models / "below")}))
    made = whp(models, models / "made")
    save_stub({"random_init": 9}, models / "below")
    with pytest.raises(UserError, match=r"'reinforced' cannot be used: .* no longer the model"):
        load_model(str(made))
    with pytest.raises(UserError, match=r"its part 'reinforced' .*no longer the model it was"):
        export(made, tmp_path / "out", merge=True)


def test_a_damaged_copy_is_noticed(models, tmp_path):
    out = export(whp(models, models / "made"), tmp_path / "out", merge=True)
    save_stub({"random_init": 9}, out / "parts" / "base")
    with pytest.raises(UserError, match=r"parts/base/model\.safetensors \(changed\)"):
        load_model(str(out))
    (out / "digests.json").unlink()
    with pytest.raises(UserError, match="its part 'base' cannot be used"):
        load_model(str(out))


def test_a_folder_without_a_model_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="is not a finished run"):
        export(tmp_path / "empty", tmp_path / "out")
    with pytest.raises(UserError, match="there is no such folder"):
        export(tmp_path / "nowhere", tmp_path / "out")


def test_a_folder_of_runs_is_refused_with_its_newest(tmp_path):
    for name in ("2026-01-02_00-00-00", "2026-01-10_00-00-00", "other"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        (tmp_path / "mine" / name / "summary.json").touch()
    (tmp_path / "mine" / "2026-02-01_00-00-00").mkdir()  # not finished
    with pytest.raises(UserError) as caught:
        export(tmp_path / "mine", tmp_path / "out")
    assert caught.value.hint == f"Its newest run is {tmp_path / 'mine' / '2026-01-10_00-00-00'}."


def test_nothing_is_overwritten(models, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    for merge in (False, True):
        with pytest.raises(UserError, match="exists and is not empty"):
            export(whp(models, models / f"made{merge}"), tmp_path / "out", merge=merge)
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_the_out_folder_is_not_in_what_is_copied(models, tmp_path):
    made = erase_on_whp(models, models / "made")
    for source, out in [(made, made), (made, models / "whp"), (models / "base", models / "base")]:
        names = sorted(each.name for each in out.iterdir())
        with pytest.raises(UserError, match=r"is inside .*, which is copied"):
            export(source, out / "out", merge=True)
        assert sorted(each.name for each in out.iterdir()) == names


@pytest.mark.parametrize("source", ["base", "adapter", "made"])
def test_the_out_folder_has_a_name_and_is_no_file(models, tmp_path, monkeypatch, source):
    whp(models, models / "made")
    (tmp_path / "file").write_text("kept")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with pytest.raises(UserError, match="expected the name of a folder"):
        export(models / source, ".", merge=True)
    with pytest.raises(UserError, match="file exists"):
        export(models / source, tmp_path / "file", merge=True)
    assert (tmp_path / "file").read_text() == "kept"


UP = "../../../../escaped"
BROKEN = {
    "written outside": (lambda parts: {**parts, UP: parts["base"]}, f"'{UP}' is not a name"),
    "read outside": (
        lambda parts: {**parts, UP: {"path": f"parts/{UP}", "fingerprint": "x"}},
        f"'{UP}' is not a name",
    ),
    "no mapping": (lambda parts: [parts], "expected a mapping"),
    "no parts": (lambda parts: None, "expected a mapping"),
    "a name alone": (lambda parts: {**parts, "base": "tiny"}, "'base' is no mapping"),
    "no path": (lambda parts: {**parts, "base": {"fingerprint": "x"}}, "'base' has no path"),
    "no text": (
        lambda parts: {**parts, "base": {"path": 7}},
        "'base' has no path; 'base' has no fingerprint",
    ),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_config_that_no_edit_wrote_is_refused(models, tmp_path, broken):
    change, message = BROKEN[broken]
    file = whp(models, models / "made") / "config.json"
    config = json.loads(file.read_text())
    config["parts"] = change(config["parts"])
    file.write_text(json.dumps(config))
    with pytest.raises(UserError, match=message):
        export(models / "made", tmp_path / "a" / "b" / "out", merge=True)
    assert not [*tmp_path.rglob("escaped")]


def test_a_part_that_the_config_does_not_name_is_said(models, tmp_path):
    file = whp(models, models / "made") / "config.json"
    config = json.loads(file.read_text())
    del config["parts"]["base"]
    file.write_text(json.dumps(config))
    with pytest.raises(UserError, match="'base' is missing"):
        load_model(str(models / "made"))


def test_a_folder_that_lacks_a_weight_is_not_copied(tmp_path):
    model = save_stub({"random_init": 1}, tmp_path / "model")
    weights = load_file(model / "model.safetensors")
    lacking = next(name for name in weights if "q_proj" in name)
    del weights[lacking]
    save_file(weights, model / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=lacking):
        export(model, tmp_path / "out")
    assert not (tmp_path / "out").exists()
