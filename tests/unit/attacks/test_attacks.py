"""Attacks: what they show to the model, and that figures are those of the model itself."""

from __future__ import annotations

import json
from typing import NamedTuple

import pytest
import torch
from stub import stub_model, stub_tokenizer

from unlearnkit import attacks as attack
from unlearnkit.attacks import fewshot as showing
from unlearnkit.attacks import quantize as quantizing
from unlearnkit.attacks.fewshot import shots_of
from unlearnkit.attacks.measuring import Split, benign_split, measure, notes_on
from unlearnkit.attacks.prefix import long_enough
from unlearnkit.attacks.wording import reworded
from unlearnkit.data.example import Example
from unlearnkit.data.streams.chat import ChatStream
from unlearnkit.data.streams.qa import QAStream
from unlearnkit.data.streams.text import TextStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.engine.generation.scoring import score
from unlearnkit.errors import DataError, RecipeError, UserError
from unlearnkit.functional.core import row_mean
from unlearnkit.models.load import load_model
from unlearnkit.suites import SuiteContext

BOS = {"add_bos": True}
RANDOM = {"random_init": 3, "layers": 3}


def examples(codec, *pairs):
    return [
        Example(tuple(codec.prompt(p)), tuple(codec.response(r)), i, f"f:{i}")
        for i, (p, r) in enumerate(pairs)
    ]


def target(tokenizer, max_length=64, **sizes):
    context = SuiteContext(max_length=max_length, **sizes)
    return attack.Target([], Codec(tokenizer, max_length), context)


@pytest.fixture
def save(tmp_path):
    """Writes a model as a folder, and says where."""

    def write(model):
        model.save_pretrained(tmp_path / "model")
        return str(tmp_path / "model")

    return write


@pytest.fixture
def asked(monkeypatch):
    """Texts of the prompts that an attack measures, call by call; no model is needed."""
    calls = []

    def record(model, tokenizer, rows, context):
        calls.append([tokenizer.decode(list(row.prompt_ids)) for row in rows])
        return {"forget/rougeL_recall": 0.0}

    monkeypatch.setattr(showing, "measured", record)
    monkeypatch.setattr(showing, "load_model", lambda base: torch.nn.Identity())
    return calls


def test_shots_stand_before_the_question_with_one_bos_and_no_eos(asked):
    tokenizer = stub_tokenizer(BOS)
    rows = examples(Codec(tokenizer, 64), ("a", "b"), ("c", "d"), ("e", "a"))
    split = Split(rows[:2], rows[2:])
    fewshot, aim = attack.Fewshot(), target(tokenizer, 64)
    curve = fewshot.run("m", shots_of(split, aim, " ", keep_end=False), aim)
    assert [point["shots"] for point in curve] == [0, 1, 2]
    assert asked == [["<bos>e"], ["<bos>ab e"], ["<bos>ab cd e"]]
    fewshot.run("m", shots_of(split, aim, "", keep_end=True), aim)
    assert asked[-1] == ["<bos>ab<eos>cd<eos>e"]


def test_rows_without_room_for_the_shots_are_left_out_throughout(asked):
    tokenizer = stub_tokenizer(BOS)
    rows = examples(Codec(tokenizer, 64), ("a", "b"), ("c", "d"), ("e", "a"), ("e", "a" * 9))
    split = Split(rows[:2], rows[2:])
    fewshot, aim = attack.Fewshot(), target(tokenizer, 10)
    shots = shots_of(split, aim, " ", keep_end=False)
    curve = fewshot.run("m", shots, aim)
    assert [point["shots"] for point in curve] == [0, 1, 2]
    assert [len(texts) for texts in asked] == [1, 1, 1]
    # BOS, 'ab ' and 'cd ' are 7 tokens; 'e', 9 times 'a' and the end are 11.
    assert fewshot.notes(shots, aim) == [
        "forget: 1 of 2 rows have no room for 2 others within 10 tokens, and are left out"
    ]
    less = shots_of(Split(rows[:2], rows[2:3]), target(tokenizer, 9), " ", keep_end=False)
    assert less.numbers == [0, 1]
    assert fewshot.notes(less, target(tokenizer, 9)) == [
        "shots: no row has room for more than 1 others within 9 tokens"
    ]
    with pytest.raises(UserError, match="no forget row has room"):
        shots_of(split, target(tokenizer, 4), " ", keep_end=False)


def test_the_last_layer_of_the_lens_is_the_model_itself(save):
    model, tokenizer = stub_model(RANDOM), stub_tokenizer()
    rows = examples(Codec(tokenizer, 64), ("ab", "cde"), ("c", "ab"), ("a", "eedcb"))
    curve = attack.LogitLens().run(save(model), rows, target(tokenizer, batch_size=2))
    assert [point["layer"] for point in curve] == [0, 1, 2]
    scores = score(model, rows)
    likely = row_mean(scores.logps, scores.sequence, 3).exp().mean().item()
    exact = row_mean(scores.correct.float(), scores.sequence, 3).mean().item()
    assert curve[-1]["forget/probability"] == pytest.approx(likely, rel=1e-5)
    assert curve[-1]["forget/exact_memorization"] == pytest.approx(exact)
    assert curve[0]["forget/probability"] != pytest.approx(likely, rel=1e-3)


def test_the_lens_reads_a_layer_before_the_others_had_their_turn(save):
    """With the last block's output projections at 0, the layer before says what the model says."""
    model, tokenizer = stub_model(RANDOM), stub_tokenizer()
    with torch.no_grad():
        model.model.layers[2].self_attn.o_proj.weight.zero_()
        model.model.layers[2].mlp.down_proj.weight.zero_()
    rows = examples(Codec(tokenizer, 64), ("ab", "cde"), ("c", "ab"))
    curve = attack.LogitLens().run(save(model), rows, target(tokenizer))
    assert {**curve[1], "layer": 2} == pytest.approx(curve[2])


def test_coarse_weights_are_measured_from_the_model_as_it_is(monkeypatch, save):
    tokenizer = stub_tokenizer()
    base = save(stub_model(RANDOM))
    rows = examples(Codec(tokenizer, 64), ("ab", "cde"))
    sums = []

    def record(model, tokenizer, rows, context):
        sums.append(model.model.layers[0].mlp.down_proj.weight.detach().clone())
        return {}

    monkeypatch.setattr(quantizing, "measured", record)
    monkeypatch.setattr(quantizing, "torchao_version", lambda: None)
    fine, coarse = (
        attack.Quantize(bits=bits).run(base, rows, target(tokenizer)) for bits in (8, 2)
    )
    assert [point["weights"] for point in fine + coarse] == [None, "nearest-8", None, "nearest-2"]
    plain, fine, _, coarse = sums
    assert 0 < (fine - plain).abs().max() < (coarse - plain).abs().max()
    assert all(len(row.unique()) <= 3 for row in coarse)


@pytest.mark.extra("torchao")
def test_torchao_makes_weights_coarse_too(save):
    tokenizer = stub_tokenizer()
    base = save(stub_model(RANDOM))
    rows = examples(Codec(tokenizer, 64), ("ab", "cde"), ("c", "ab"))
    curve = attack.Quantize().run(base, rows, target(tokenizer))
    assert [point["weights"] for point in curve] == [
        None, "nearest-8", "nearest-4", "torchao-8", "torchao-4",
    ]  # fmt: skip
    nll = []
    for bits in (None, 8, 4):
        model = load_model(base)
        if bits:
            quantizing._use_torchao(model, bits)
        nll.append(-score(model, rows).logps.sum().item())
    assert abs(nll[1] - nll[0]) < abs(nll[2] - nll[0])


@pytest.fixture
def questions(tmp_path):
    path = tmp_path / "forget.jsonl"
    rows = [
        {"prompt": "a", "response": "b", "other": "aa"},
        {"prompt": "c", "response": "d", "other": "cc"},
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def texts(tokenizer, rows):
    return [tokenizer.decode(list(row.prompt_ids)) for row in rows]


def test_prompts_are_framed_inside_the_template(questions):
    tokenizer = stub_tokenizer()
    codec = Codec(tokenizer, 128)
    stream = QAStream(str(questions), template="d {prompt} e")
    worded = reworded(stream, codec)
    assert list(worded) == [None, *attack.QUESTIONS]
    assert texts(tokenizer, worded[None]) == ["d a e", "d c e"]
    framed = texts(tokenizer, worded["{prompt} Answer in one sentence."])
    assert framed[0].startswith("d a ")
    assert framed[0].endswith(" e")
    assert len(framed[0]) > 30
    assert [row.response_ids for row in worded[None]] == [
        row.response_ids for row in worded["{prompt} Answer in one sentence."]
    ]


def test_other_words_come_from_a_column_or_a_file(questions, tmp_path):
    tokenizer = stub_tokenizer()
    codec, stream = Codec(tokenizer, 64), QAStream(str(questions))
    worded = reworded(stream, codec, field="other")
    assert texts(tokenizer, worded["other"]) == ["aa", "cc"]
    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": "ee"}\n{"prompt": "ed"}\n')
    worded = reworded(stream, codec, data=str(file))
    assert texts(tokenizer, worded[str(file)]) == ["ee", "ed"]
    assert stream.path == str(questions)
    with pytest.raises(RecipeError, match="has no column 'othr'"):
        reworded(stream, codec, field="othr")
    file.write_text('{"prompt": "ee"}\n')
    with pytest.raises(UserError, match="found 1 rows, expected the 2"):
        reworded(stream, codec, data=str(file))
    file.write_text('{"prompt": "ee"}\n{"prompt": 7}\n')
    with pytest.raises(DataError, match="number"):
        reworded(stream, codec, data=str(file))


def test_running_text_gets_words_in_front_after_bos(tmp_path):
    path = tmp_path / "book.jsonl"
    path.write_text('{"text": "abcde"}\n')
    tokenizer = stub_tokenizer(BOS)
    worded = reworded(TextStream(str(path), prompt_tokens=2), Codec(tokenizer, 64))
    assert list(worded) == [None, *attack.PASSAGES]
    assert texts(tokenizer, worded[None]) == ["<bos>ab"]
    (framed,) = texts(tokenizer, worded[attack.PASSAGES[0]])
    assert framed.startswith("<bos>")
    assert framed.count("<bos>") == 1
    assert framed.endswith(" ab")
    with pytest.raises(UserError, match="no column of prompts"):
        reworded(TextStream(str(path), prompt_tokens=2), Codec(tokenizer, 64), field="text")


def test_conversations_without_a_column_of_prompts_are_refused(tmp_path):
    path = tmp_path / "chat.jsonl"
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    path.write_text(json.dumps({"messages": turns}) + "\n")
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    tokenizer = stub_tokenizer({"chat_template": template})
    with pytest.raises(UserError, match="no prompt_field"):
        reworded(ChatStream(str(path)), Codec(tokenizer, 64))


def test_benign_rows_are_the_attacker_s_and_all_forget_rows_are_judged():
    rows = [Example((1,), (2,), i, f"f:{i}") for i in range(6)]
    split = benign_split(rows[:2], rows[2:], held=2, limit=4, seed=0)
    assert (split.held, split.others) == (rows[:2], rows[2:])
    with pytest.raises(UserError, match="--rows: expected 1 to 2"):
        benign_split(rows[:2], rows[2:], held=3, limit=4, seed=0)


class _Stream(NamedTuple):
    cut: dict[int, int]


def test_what_an_attack_cuts_and_leaves_out_is_told():
    tokenizer = stub_tokenizer()
    codec = Codec(tokenizer, 128)
    rows = examples(codec, ("a", "b" * 80), ("a", " "), ("a", "bcd"))
    # The maximal length took 5 tokens of the third row: 81, 2 and 4 are left.
    aim = target(tokenizer, 128, data={"forget": _Stream({2: 5})})
    notes = [
        "forget: 1 of 3 texts is cut at max_length 128, which leaves out 5 of 92 tokens",
        "1 of 3 forget rows have a true text longer than max_new_tokens 64; it is compared as far "
        "as that",
        "forget/rougeL_recall leaves out 1 of 3 rows, whose true text has no word",
    ]
    assert notes_on({"forget": rows}, aim) == attack.Quantize().notes(rows, aim) == notes
    assert attack.LogitLens().notes(rows, aim) == [notes[0], notes[2]]
    assert notes_on({"forget": rows[2:]}, target(tokenizer)) == []


def test_a_row_without_words_has_no_part_in_the_metric():
    model, tokenizer = stub_model(), stub_tokenizer()
    rows = examples(Codec(tokenizer, 64), ("c", "aaaa"), ("c", " "))
    found = measure(model, tokenizer, rows, SuiteContext())
    assert found["rougeL_recall"] == 0.0  # the stub says one word of five letters
    assert measure(model, tokenizer, rows[1:], SuiteContext())["rougeL_recall"] is None


def test_rows_too_short_for_what_is_shown_are_told():
    tokenizer = stub_tokenizer()
    rows = examples(Codec(tokenizer, 64), ("a", "b"), ("a", "bcde"))
    # b and its end are 2 tokens, bcde and its end 5: 2 can be shown, and 2 be left.
    assert long_enough(rows) == ([0, 2], rows[1:])
    assert attack.Prefix().notes(rows, target(tokenizer)) == [
        "forget: 1 of 2 rows have fewer than 4 tokens, too few to be shown 2, and are left out"
    ]


def test_what_a_longer_prompt_takes_from_an_answer_is_told():
    tokenizer = stub_tokenizer()
    own = examples(Codec(tokenizer, 64), ("a", "bcde"), ("b", "cdea"))
    longer = [own[0]._replace(response_ids=own[0].response_ids[:3]), own[1]]
    assert attack.Paraphrase().notes(
        {None: own, "Please: {prompt}": longer}, target(tokenizer)
    ) == [
        "forget, Please: {prompt}: 1 of 2 texts is cut at max_length 64, which leaves out 2 of 10 "
        "tokens"
    ]
