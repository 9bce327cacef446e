"""A model that reads examples before every prompt (ERASE)."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from architectures import tiny_model
from edited import delete_examples, erase_model
from stub import save_stub
from transformers import AutoModelForCausalLM

from unlearnkit.data.example import Example
from unlearnkit.edits.weights import open_weights
from unlearnkit.engine.generation.generate import generate
from unlearnkit.engine.generation.scoring import score
from unlearnkit.engine.preflight import MODEL, Values, refuse
from unlearnkit.engine.step.layout import packed_refusal
from unlearnkit.errors import RecipeError, UserError
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.composite.in_context import ContextConfig, ContextForCausalLM
from unlearnkit.models.load import load_config, load_model
from unlearnkit.models.logit_transform import transform_fields

BOS, EOS = 2, 3
ROWS = [
    Example((BOS, *prompt), (*response, EOS), row, f"rows.jsonl:{row + 1}")
    for row, (prompt, response) in enumerate(
        [((4, 4), (5,)), ((4, 5), (6, 6)), ((7, 8), (4,)), ((7, 7, 8), (5, 4)), ((6, 5), (8,)),
         ((5, 5, 5), (4,)), ((8, 8), (7, 7)), ((6, 6), (6,))]
    )
]  # fmt: skip


@pytest.fixture
def base(tmp_path):
    save_stub({"random_init": 1, "add_bos": True}, tmp_path / "base")
    return tmp_path / "base"


def make(base, rows=ROWS, out="out", **options):
    return erase_model(str(base), rows, base.parent / out, **{"k": 2, "separator": " ", **options})


def chosen(folder):
    return [each["source"] for each in json.loads((folder / "erase.json").read_text())["chosen"]]


def context_of(folder):
    """The chosen rows as they are read: one beginning, a space in place of each end."""
    ids = [BOS]
    for source in chosen(folder):
        row = ROWS[int(source.rpartition(":")[2]) - 1]
        ids += [*row.prompt_ids[1:], *row.response_ids[:-1], 9]
    return ids


def test_it_computes_what_the_base_does_after_the_examples(base):
    folder = make(base)
    model, plain = load_model(str(folder)), load_model(str(base))
    assert isinstance(model, ContextForCausalLM)
    before = context_of(folder)
    row = [4, 5, 6, 7]
    expected = plain(torch.tensor([before + row])).logits[:, len(before) :]
    torch.testing.assert_close(model(torch.tensor([row])).logits, expected)
    # A beginning of its own is hidden from the tokens after it.
    torch.testing.assert_close(model(torch.tensor([[BOS, *row]])).logits[:, 1:], expected)
    assert not torch.allclose(plain(torch.tensor([[BOS, *row]])).logits[:, 1:], expected)


def test_padding_on_either_side_changes_nothing(base):
    model = load_model(str(make(base)))
    rows = [[BOS, 4, 5], [BOS, 7, 8, 8, 6]]
    alone = [model(torch.tensor([row])).logits[0] for row in rows]
    for ids, mask, places in (
        ([[*rows[0], 0, 0], rows[1]], [[1, 1, 1, 0, 0], [1] * 5], slice(1, 3)),
        ([[0, 0, *rows[0]], rows[1]], [[0, 0, 1, 1, 1], [1] * 5], slice(3, 5)),
    ):
        logits = model(torch.tensor(ids), attention_mask=torch.tensor(mask)).logits
        torch.testing.assert_close(logits[0, places], alone[0][1:])
        torch.testing.assert_close(logits[1, 1:], alone[1][1:])


def test_it_generates_what_the_base_does_after_the_examples(base):
    folder = make(base)
    model, plain, tokenizer = (
        load_model(str(folder)),
        load_model(str(base)),
        load_tokenizer(str(base)),
    )
    before = context_of(folder)
    prompts = [(BOS, 4, 5), (BOS, 7), (BOS, 8, 8, 6, 6)]
    expected = [
        generate(plain, tokenizer, [(*before, *prompt[1:])], max_new_tokens=6)[0].ids
        for prompt in prompts
    ]
    for batch_size in (1, 3):
        found = generate(model, tokenizer, prompts, max_new_tokens=6, batch_size=batch_size)
        assert [each.ids for each in found] == expected
    sampled = generate(model, tokenizer, prompts, max_new_tokens=6, temperature=1.0)
    assert sampled == generate(model, tokenizer, prompts, max_new_tokens=6, temperature=1.0)


def test_it_is_scored_like_any_model(base):
    folder = make(base)
    model, plain = load_model(str(folder)), load_model(str(base))
    before = tuple(context_of(folder))
    rows = [Example((BOS, 4), (5, 6, EOS), 0, "a"), Example((BOS, 7, 7), (8,), 1, "a")]
    longer = [e._replace(prompt_ids=(*before, *e.prompt_ids[1:])) for e in rows]
    found, expected = (score(*each, standardised=True) for each in ((model, rows), (plain, longer)))
    torch.testing.assert_close(found.logps, expected.logps)
    torch.testing.assert_close(found.standardised, expected.standardised)
    assert packed_refusal(model) == "it reads examples before each row"


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt", "gemma2", "cohere", "mistral-window"])
def test_other_architectures_read_examples_too(name):
    plain = tiny_model(name)
    config = ContextConfig(
        context_ids=[7, 8, 9], vocab_size=61, num_hidden_layers=2,
        **transform_fields(plain.config),
    )  # fmt: skip
    model = ContextForCausalLM(config, plain)
    rows = [Example((11, 12), (13, 14, 15), 0, "a"), Example((11,), (13,), 1, "a")]
    longer = [e._replace(prompt_ids=(7, 8, 9, *e.prompt_ids)) for e in rows]
    torch.testing.assert_close(score(model, rows).logps, score(plain, longer).logps)
    ids = torch.tensor([[11, 12, 13]])
    whole = plain(torch.cat([torch.tensor([[7, 8, 9]]), ids], 1)).logits
    torch.testing.assert_close(model(ids).logits, whole[:, 3:])


def test_deleting_gives_the_folder_that_would_have_been(base):
    made = make(base, epsilon=0.5)
    gone = [ROWS[0], ROWS[4]]
    done = delete_examples(made, gone, base.parent / "less")
    scratch = make(base, [r for r in ROWS if r not in gone], "scratch", epsilon=0.5)
    less = base.parent / "less"
    for file in ("config.json", "examples.jsonl"):
        assert (less / file).read_bytes() == (scratch / file).read_bytes()
    assert len(done) == 2
    record = json.loads((less / "erase.json").read_text())
    assert (record["examples"], record["deleted"]) == (6, 2)
    again = delete_examples(less, [ROWS[1]], base.parent / "least")
    assert len(again) == 1
    rest = [r for r in ROWS if r not in (*gone, ROWS[1])]
    fresh = make(base, rest, "fresh", epsilon=0.5)
    assert chosen(base.parent / "least") == chosen(fresh)


def test_every_copy_of_a_row_goes(base):
    twice = [*ROWS, ROWS[2]._replace(row=8, source="rows.jsonl:9")]
    made = make(base, twice)
    assert len(delete_examples(made, [ROWS[2]], base.parent / "less")) == 2
    text = (base.parent / "less" / "examples.jsonl").read_text()
    assert "rows.jsonl:3" not in text
    assert "rows.jsonl:9" not in text


def test_a_row_that_was_not_chosen_leaves_the_prompt_byte_for_byte(base):
    made = make(base, epsilon=256.0)
    before = (made / "config.json").read_bytes()
    firsts = set(chosen(made))
    done = []
    for number, row in enumerate(ROWS):
        out = base.parent / f"less{number}"
        (deletion,) = delete_examples(made, [row], out)
        if not deletion.refitted and not deletion.reselected:
            done.append(row.source)
            assert (out / "config.json").read_bytes() == before
            assert row.source not in firsts
    assert done


def test_what_cannot_be_deleted_is_said_and_nothing_is_written(base):
    made = make(base)
    other = [ROWS[0]._replace(response_ids=(4, 4, EOS), source="gone.jsonl:7")]
    with pytest.raises(UserError, match=r"gone\.jsonl, line 7: found a row that is no example"):
        delete_examples(made, other, base.parent / "less")
    with pytest.raises(UserError, match="only 1 different"):
        delete_examples(made, ROWS[1:], base.parent / "less")
    with pytest.raises(UserError, match=r"found no erase\.json"):
        delete_examples(base, ROWS[:1], base.parent / "less")
    assert not (base.parent / "less").exists()


def test_options_that_do_not_fit_are_said(base):
    with pytest.raises(UserError, match="--k: expected 1 to 8"):
        make(base, k=9)
    long = [ROWS[0]._replace(prompt_ids=(BOS, *[4] * 600))]
    with pytest.raises(UserError, match="has 512 positions"):
        make(base, long, k=1)
    assert not (base.parent / "out").exists()


def test_a_base_that_changed_is_refused(base):
    made = make(base)
    save_stub({"random_init": 2, "add_bos": True}, base)
    for use in (lambda: load_model(str(made)), lambda: delete_examples(made, ROWS[:1], "less")):
        with pytest.raises(UserError, match="no longer the model it was"):
            use()
    shutil.rmtree(base)
    with pytest.raises(RecipeError, match="its part 'base' cannot be used"):
        load_model(str(made))


def test_it_is_saved_and_found_by_transformers(base):
    made = make(base)
    model = AutoModelForCausalLM.from_pretrained(made)
    assert isinstance(model, ContextForCausalLM)
    model.save_pretrained(base.parent / "again")
    ids = torch.tensor([[4, 5]])
    assert torch.equal(load_model(str(base.parent / "again"))(ids).logits, model(ids).logits)
    with pytest.raises(TypeError, match="without variant"):
        model.save_pretrained(base.parent / "third", variant="x")
    assert load_config(str(made)).max_position_embeddings == 512 - len(context_of(made))


def test_it_is_neither_trained_nor_edited(base):
    made = make(base)
    with pytest.raises(RecipeError, match="edit delete"):
        refuse(MODEL, Values(str(made), config=load_config(str(made))))
    with pytest.raises(UserError, match="composite model or a part of one"):
        open_weights(BaseModel(str(made)))
