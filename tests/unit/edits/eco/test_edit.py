"""The edit with classifiers, other corruptions, and a searched strength."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from edited import eco_model
from encoders import save_encoder, save_namer
from rounding import near
from stub import save_stub

from unlearnkit.data.example import Example
from unlearnkit.edits import Eco, EcoClassifier
from unlearnkit.edits.eco.search import METRICS
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import score
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.functional.corruption import corrupt
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_config, load_model
from unlearnkit.runs.export import export

EOS = 3
# Prompts of "a" and "b" are to be found, those of "d" and "e" are not.
FORGET = [Example((4, 5, 4 + i % 2), (6, EOS), i, "f") for i in range(6)]
# These have no strength, and the last no dimensions: the defaults.
ZERO = {"corruption": "zero_out_top_k", "strength": 1.0}
SHUFFLED = {"corruption": "shuffle", "strength": 1.0, "dims": 1}
RETAIN = [Example((7, 8, 7 + i % 2), (6, EOS), i, "r") for i in range(6)]


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts")
    save_stub({"random_init": 1}, folder / "base")
    encoder = save_encoder("roberta", folder / "encoder")
    EcoClassifier(
        encoder, str(folder / "base"), FORGET, RETAIN, epochs=40, lr=1e-2, batch_size=6, every=5
    ).write(folder / "classifier")
    save_namer(folder / "namer")
    return folder


def edit(parts, out, **options):
    given = {"classifier": str(parts / "classifier"), "strength": 3.0, "dims": 2, "threshold": 0.9}
    return eco_model(str(parts / "base"), FORGET, RETAIN, out, **{**given, **options})


def test_a_finetuned_classifier_decides_without_scikit_learn(parts, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    folder = edit(parts, tmp_path / "out")
    record = json.loads((folder / "eco.json").read_text())
    assert (record["forget"]["corrupted"], record["retain"]["corrupted"]) == (6, 0)
    assert (record["corruption"], record["strength"]) == ("rand_noise_first_n", 3.0)
    assert load_config(str(folder)).coefficients == []
    model, plain = load_model(str(folder)), load_model(str(parts / "base"))
    kept, found = torch.tensor([[7, 8, 7, 6]]), torch.tensor([[4, 5, 4, 6]])
    lengths = torch.tensor([3])
    assert model(kept, prompt_lengths=lengths).logits.equal(plain(kept).logits)
    embedded = plain.get_input_embeddings()(found)
    chosen = torch.tensor([[True, True, False, False]])
    wanted = plain(inputs_embeds=corrupt(embedded, chosen, dims=2, strength=3.0)).logits
    assert model(found, prompt_lengths=lengths).logits.equal(wanted)


def test_the_tokens_that_a_second_classifier_finds_are_corrupted(parts, tmp_path) -> None:
    folder = edit(parts, tmp_path / "out", tokens=str(parts / "namer"), **ZERO)
    model, plain = load_model(str(folder)), load_model(str(parts / "base"))
    lengths = torch.tensor([3])
    # "a" is found, also as the last; of "bbb" none is, and all but the last are corrupted.
    for ids, chosen in ((4, 5, 4), (1, 0, 1)), ((5, 5, 5), (1, 1, 0)):
        given = torch.tensor([[*ids, 6]])
        embedded = plain.get_input_embeddings()(given)
        hit = torch.tensor([[*chosen, 0]]).bool()
        wanted = plain(inputs_embeds=corrupt(embedded, hit, "zero_out_top_k", dims=2)).logits
        assert model(given, prompt_lengths=lengths).logits.equal(wanted)


@pytest.mark.parametrize("tokens", [None, "namer"])
def test_thirty_two_prompts_are_answered_and_scored_as_each_alone(parts, tmp_path, tokens) -> None:
    more = {"tokens": str(parts / tokens)} if tokens else {}
    folder = edit(parts, tmp_path / "out", corruption="rand_noise_rand_n", **more)
    model, tokenizer = load_model(str(folder)), load_tokenizer(str(folder))
    torch.manual_seed(0)
    prompts = [tuple(torch.randint(4, 9, (1 + i % 7,)).tolist()) for i in range(32)]
    alone = [generate(model, tokenizer, [p], max_new_tokens=4)[0].ids for p in prompts]
    found = generate(model, tokenizer, prompts, max_new_tokens=4, batch_size=32)
    assert [each.ids for each in found] == alone
    rows = [Example(each, (6, EOS), i, "x") for i, each in enumerate(prompts)]
    together = score(model, rows, batch_size=32).logps
    apart = torch.cat([score(model, [row]).logps for row in rows])
    torch.testing.assert_close(together, apart, atol=1e-4, rtol=1e-4)
    plain = score(load_model(str(parts / "base")), rows).logps
    assert not torch.allclose(plain, together)


def test_a_saved_and_a_whole_copy_answer_bit_for_bit_alike(parts, tmp_path) -> None:
    here = tmp_path / "here"
    shutil.copytree(parts, here)
    folder = edit(here, tmp_path / "out", tokens=str(here / "namer"))
    model = load_model(str(folder))
    model.save_pretrained(tmp_path / "saved")
    load_tokenizer(str(folder)).save_pretrained(tmp_path / "saved")
    whole = export(folder, tmp_path / "whole", merge=True)
    ids = torch.tensor([[4, 5, 4, 4], [7, 8, 7, 8]])
    wanted = model(ids).logits
    assert load_model(str(tmp_path / "saved"))(ids).logits.equal(wanted)
    shutil.rmtree(here / "classifier")
    assert load_model(str(whole))(ids).logits.equal(wanted)
    with pytest.raises(RecipeError, match="part 'classifier' cannot be used"):
        load_model(str(folder))


def test_a_strength_is_searched_to_the_surrogate(parts, tmp_path) -> None:
    given = {"search": FORGET, "strength": 0.1, "search_rate": 200.0, "dims": 8}
    folder = edit(parts, tmp_path / "out", surrogate=0.05, **given)
    record = json.loads((folder / "eco.json").read_text())
    search, base = record["search"], load_model(str(parts / "base"))
    assert (search["of"], search["metric"], search["rows"]) == ("strength", "probability", 6)
    tokenizer = load_tokenizer(str(parts / "base"))
    assert search["without"] == near(METRICS["probability"](base, tokenizer, FORGET))
    nearest = min(search["trials"], key=lambda each: each["distance"])
    assert record["strength"] == load_config(str(folder)).strength == nearest["value"]
    measured = METRICS["probability"](load_model(str(folder)), tokenizer, FORGET)
    assert measured == near(nearest["measured"])
    assert nearest["distance"] == near(abs(measured - 0.05))


def test_where_there_is_no_strength_dimensions_are_searched(parts, tmp_path) -> None:
    given = {"search": FORGET, **ZERO, "corruption": "zero_out_first_n", "dims": 1}
    folder = edit(parts, tmp_path / "out", surrogate=0.9, search_steps=3, **given)
    record = json.loads((folder / "eco.json").read_text())
    assert record["search"]["of"] == "dims"
    values = [each["value"] for each in record["search"]["trials"]]
    assert all(isinstance(each, int) for each in values)
    size = load_model(str(parts / "base")).config.hidden_size
    assert 1 <= min(values) <= max(values) <= size
    assert record["dims"] in values


@pytest.mark.parametrize("how", ["model", "rows"])
def test_a_surrogate_is_measured(parts, tmp_path, how) -> None:
    given = {"model": {"surrogate_model": str(parts / "base")}, "rows": {"surrogate_rows": RETAIN}}
    folder = edit(parts, tmp_path / "out", search=FORGET, search_steps=1, **given[how])
    found = json.loads((folder / "eco.json").read_text())["search"]["surrogate"]
    model, tokenizer = load_model(str(parts / "base")), load_tokenizer(str(parts / "base"))
    rows = {"model": FORGET, "rows": RETAIN}[how]
    assert found == near(METRICS["probability"](model, tokenizer, rows))


def test_mistakes_are_told_before_a_model_is_loaded(parts, tmp_path, monkeypatch) -> None:
    def refuse(*_):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("unlearnkit.edits.eco.edit.load_model", refuse)
    out = tmp_path / "out"
    wrong = {"corruption": "rot13", "metric": "f1", "search_rate": 0.0, "search_steps": 0,
             "tolerance": -1.0, "search": FORGET}  # fmt: skip
    with pytest.raises(UserError) as caught:
        edit(parts, out, **wrong)
    said = str(caught.value)
    assert all(f"--{name}" in said for name in wrong)
    assert "one of --surrogate, --surrogate_model and --surrogate_rows with it, found 0" in said
    for more, message in (
        ({"surrogate": 0.5}, "--surrogate: has no effect without --search"),
        ({"search": FORGET, "surrogate": 0.5, "surrogate_rows": RETAIN}, "with it, found 2"),
        ({"search": FORGET, "surrogate": 0.5, **SHUFFLED}, "nothing to be searched"),
        ({"classifier": str(parts / "nowhere")}, "nowhere"),
        ({"tokens": str(parts / "classifier")}, r"a classifier of tokens .*, found Roberta"),
        ({"search": "nowhere.jsonl", "surrogate": 0.5}, "nowhere.jsonl"),
        ({"search": FORGET, "surrogate_rows": "nowhere.jsonl"}, "nowhere.jsonl"),
        ({"search": FORGET, "surrogate_model": str(parts / "nowhere")}, "nowhere"),
        (
            {"search": FORGET, "surrogate_model": "tiny"},
            r"--base: \d+ tokens have other ids than in the tokenizer of --surrogate_model",
        ),
        ({"classifier": str(parts / "encoder"), "dims": 99}, "--dims: expected 1 to"),
    ):
        with pytest.raises(UserError, match=message):
            edit(parts, out, **more)
    assert not out.exists()


def test_it_says_how_many_prompts_it_finds_and_how_near_a_search_came(parts, tmp_path) -> None:
    made = Eco(str(parts / "base"), FORGET, RETAIN, threshold=0.5, search=FORGET, surrogate=0.99,
               search_steps=1)  # fmt: skip
    made.write(tmp_path / "out")
    found = json.loads((tmp_path / "out" / "eco.json").read_text())
    nearest = min(each["distance"] for each in found["search"]["trials"])
    assert nearest > 0.02
    assert made.remark == (
        f"{found['forget']['corrupted']} of 6 prompts to forget are found. The search ended "
        f"{nearest:.3f} from its surrogate, above --tolerance 0.02."
    )
