"""The embedded model and data are what their README says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from tools.tiny import make, texts
from unlearnkit.models.base import EMBEDDED, load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.suites.base import SuiteContext
from unlearnkit.suites.copyright import Copyright

FOLDER = make.HERE
MODELS = ("tiny", "tiny/gold")


def rows(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (FOLDER / name).read_text("utf-8").splitlines()]


def whole(row: dict[str, str]) -> str:
    return row["text"] if "text" in row else row["prompt"] + row["response"]


def test_the_sets_share_no_row_and_no_prompt():
    book, normal, heldout = (rows(f"{n}.jsonl") for n in ("book", "normal", "heldout"))
    assert len(book) >= 40
    assert len(normal) == len(heldout)
    every = [whole(row) for row in book + normal + heldout]
    assert len(set(every)) == len(every)
    openings = [row["prompt"] for row in normal + heldout]
    assert len(set(openings)) == len(openings)


def test_all_models_have_one_tokenizer_that_each_folder_loads():
    folders = [FOLDER / name for name in EMBEDDED.values()]
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        assert {(folder / name).read_bytes() for folder in folders} == {
            (FOLDER / "model" / name).read_bytes()
        }
        links = [folder for folder in folders if (folder / name).is_symlink()]
        assert len(links) in (0, len(folders) - 1)  # a wheel has files
    ids = load_tokenizer("tiny")("Who keeps the lamp?").input_ids
    for folder in folders:
        assert AutoTokenizer.from_pretrained(str(folder))("Who keeps the lamp?").input_ids == ids


def test_a_model_made_anew_gets_links_to_the_shared_tokenizer(tmp_path):
    load_tokenizer("tiny").save_pretrained(tmp_path)
    make.share_tokenizer(tmp_path)
    file = tmp_path / "tokenizer.json"
    assert file.is_symlink()
    assert file.samefile(FOLDER / "model" / "tokenizer.json")
    make.share_tokenizer(FOLDER / "model")
    assert not (FOLDER / "model" / "tokenizer.json").is_symlink()


def test_the_halves_have_the_same_mix():
    normal, heldout = rows("normal.jsonl"), rows("heldout.jsonl")

    def questions(half: list[dict[str, str]]) -> int:
        return sum(row["prompt"].startswith("Question: ") for row in half)

    assert questions(normal) == questions(heldout) > 60


def test_neighbours_are_the_held_out_rows_of_the_book_s_dictionary():
    neighbours, heldout = rows("neighbour.jsonl"), rows("heldout.jsonl")
    assert neighbours == [
        row for row in heldout if ", n. " in row["prompt"] or ", adj. " in row["prompt"]
    ]
    words = {row["prompt"].partition(",")[0] for row in neighbours}
    assert len(words) == 20
    assert words <= set(texts.NEIGHBOURS.split())


def test_the_package_carries_at_most_8_mb():
    size = sum(f.stat().st_size for name in ("model", "gold") for f in (FOLDER / name).iterdir())
    assert size <= 8_000_000


@pytest.mark.parametrize("base", MODELS)
def test_ids_of_the_tokenizer_are_those_of_the_model(base: str):
    tokenizer, model = load_tokenizer(base), load_model(base)
    assert len(tokenizer) == model.config.vocab_size
    ids = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    assert ids == (make.BOS_ID, make.EOS_ID, make.PAD_ID)
    for config in (model.config, model.generation_config):
        assert (config.bos_token_id, config.eos_token_id, config.pad_token_id) == ids


@given(st.text())
def test_the_tokenizer_encodes_every_text(text: str):
    tokenizer = load_tokenizer("tiny")
    ids = tokenizer(text)["input_ids"]
    assert ids[0] == make.BOS_ID
    special = {make.BOS, make.EOS, make.PAD}
    if not any(each in text for each in special):
        assert tokenizer.decode(ids[1:], clean_up_tokenization_spaces=False) == text


def test_the_shipped_tokenizer_is_the_one_that_the_texts_give():
    made = json.loads(make.make_tokenizer().backend_tokenizer.to_str())
    for folder in ("model", "gold"):
        shipped = json.loads((FOLDER / folder / "tokenizer.json").read_text("utf-8"))
        assert shipped["model"]["vocab"] == made["model"]["vocab"]


def test_the_model_recites_everything_and_the_gold_model_all_but_the_book():
    context = SuiteContext(max_length=512, seed=0)
    found = {
        base: Copyright(limit=12).run(load_model(base).eval(), load_tokenizer(base), context).values
        for base in MODELS
    }
    for base in MODELS:
        assert found[base]["normal/rougeL_recall"] >= 0.99
        assert found[base]["heldout/rougeL_recall"] >= 0.99
    assert found["tiny"]["forget/rougeL_recall"] >= 0.99
    assert found["tiny/gold"]["forget/rougeL_recall"] < 0.2


def test_passages_are_whole_clauses_of_bounded_length():
    document = "Too short.\n\n" + "One two three four five six seven eight, nine ten. " * 12
    found = texts.passages(document)
    assert found
    assert all(texts.MIN_WORDS <= len(text.split()) <= texts.MAX_WORDS for text in found)
    assert all(text.endswith("ten.") for text in found)


def test_of_passages_with_one_opening_one_is_kept():
    opening = "a b c d e f g h"
    assert texts.distinct([f"{opening} i", f"{opening} j", "k"]) == [f"{opening} j", "k"]


def test_entries_mend_hyphens_and_drop_italics():
    devil = "PREFACE\n\nABASEMENT, n.  A _decent_ thing, a\ncannon-\nshot.\n\n    A verse.\n"
    assert texts.entries(devil) == {"ABASEMENT": "ABASEMENT, n. A decent thing, a cannon-shot."}


def test_a_split_passage_is_the_passage():
    parts = texts.split_passage("one two three", prompt_words=2)
    assert parts == {"prompt": "one two", "response": " three"}
