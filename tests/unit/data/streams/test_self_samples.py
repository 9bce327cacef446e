"""Samples of the model itself: keyed by prompt, refused for another model."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from stub import stub_tokenizer

from unlearnkit.data import SampledStream, SelfSamplesStream, Stream
from unlearnkit.data.encoded import EncodedRows
from unlearnkit.data.samples import Origin, SampledAnswer, read_samples, sample_row
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, Place, RecipeError
from unlearnkit.models.fingerprint import model_fingerprint, tokenizer_fingerprint

TOKENIZER = stub_tokenizer()
CODEC = Codec(TOKENIZER, 32)
ORIGIN = Origin("sha256:model", tokenizer_fingerprint(TOKENIZER))


def forget(*prompts):
    data = EncodedRows("forget", "forget.jsonl")
    for line, prompt in enumerate(prompts, start=1):
        data.append([(CODEC.prompt(prompt), CODEC.response("bc"))], Place(line, line), prompt)
    return data


def answered(*texts, ended=True):
    return [SampledAnswer(text, tuple(CODEC.tokens([text])[0]), ended) for text in texts]


@pytest.fixture
def write(tmp_path):
    def write(rows, origin=ORIGIN):
        path = tmp_path / "samples.jsonl"
        lines = (
            json.dumps(sample_row(prompt, tuple(CODEC.prompt(prompt)), given, origin))
            for prompt, given in rows.items()
        )
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    return write


def encode(path, prompts, per_prompt=2, codec=CODEC):
    stream = SelfSamplesStream(path, per_prompt=per_prompt)
    return stream.encode("self_samples", codec, {"forget": prompts}, 0)


def test_rows_are_read_as_they_were_written(write):
    given = answered("de", ended=False) + answered("ed")
    table = read_samples(write({"a": given}))
    (sampled,) = table.by_prompt.values()
    assert (sampled.prompt_ids, sampled.answers) == (tuple(CODEC.prompt("a")), given)
    assert sampled.origin == ORIGIN
    assert table.problems == []


def test_each_prompt_gets_its_own_samples_whatever_their_order_in_the_file(write):
    path = write({"b": answered("d", "dd"), "a": answered("e", "ee")})
    data = encode(path, forget("a", "b"))
    drawn = [{CODEC.tokenizer.decode(e.response_ids) for e in data.at(r, r)} for r in range(2)]
    assert drawn == [{"e<eos>", "ee<eos>"}, {"d<eos>", "dd<eos>"}]


def test_a_sample_that_hit_the_limit_has_no_end(write):
    data = encode(write({"a": answered("de", ended=False)}), forget("a"), per_prompt=1)
    (example,) = data.at(0, 0)
    assert TOKENIZER.decode(example.response_ids) == "de"


def test_samples_may_repeat_and_equal_the_own_answer(write):
    data = encode(write({"a": answered("bc", "bc")}), forget("a"))
    assert [TOKENIZER.decode(e.response_ids) for e in data.at(0, 0)] == ["bc<eos>"] * 2


def test_of_more_samples_each_comes_equally_often(write):
    data = encode(write({"a": answered(*"abcd")}), forget("a"))
    drawn = [TOKENIZER.decode(e.response_ids) for n in range(2) for e in data.at(0, n)]
    assert sorted(drawn) == ["a<eos>", "b<eos>", "c<eos>", "d<eos>"]


def test_the_least_alike_of_many_are_trained_on(write):
    said = ("abababcd", "abababcd", "", "dededede", "cbcbcbcb", "abababce")
    path = write({"a": answered(*said)})
    stream = SampledStream(path=path, per_prompt=2, least_alike=2)
    data = stream.encode("samples", CODEC, {"forget": forget("a")}, 0)
    drawn = {TOKENIZER.decode(e.response_ids) for n in range(2) for e in data.at(0, n)}
    assert drawn == {"dededede<eos>", "cbcbcbcb<eos>"}


def test_fewer_than_are_needed_and_as_many_as_there_are_are_refused():
    with pytest.raises(RecipeError, match=r"least_alike: expected at least 5 \(per_prompt\)"):
        SampledStream(pool=20, least_alike=3)
    with pytest.raises(RecipeError, match="least_alike: expected less than the pool of 5, found 5"):
        SampledStream(least_alike=5)


def test_a_missing_file_names_the_command():
    with pytest.raises(DataError, match="no such file") as error:
        SelfSamplesStream("nowhere.jsonl").check()
    assert "unlearnkit sample --recipe" in error.value.hint


def test_every_prompt_that_lacks_samples_is_named(write):
    path = write({"a": answered("d")})
    with pytest.raises(DataError) as error:
        encode(path, forget("a", "b"))
    assert [(problem.line, problem.found) for problem in error.value.problems] == [
        (1, "1 answers to the prompt of forget.jsonl:1"),
        (None, "0 answers to the prompt of forget.jsonl:2"),
    ]
    assert "unlearnkit sample" in error.value.hint


def test_samples_of_another_tokenizer_are_refused(write):
    path = write({"a": answered("d", "e")}, replace(ORIGIN, tokenizer="sha256:other"))
    with pytest.raises(DataError, match="found answers of tokenizer sha256:other"):
        encode(path, forget("a"))


def test_samples_of_another_model_are_refused(write, stub_folder):
    codec = Codec(TOKENIZER, 32, base=str(stub_folder))
    with pytest.raises(DataError, match="found answers of model sha256:model, expected sha256:"):
        encode(write({"a": answered("d", "e")}), forget("a"), codec=codec)
    own = replace(ORIGIN, model=model_fingerprint(str(stub_folder)))
    assert len(encode(write({"a": answered("d", "e")}, own), forget("a"), codec=codec)) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"prompt_ids": "ab"}, "prompt_ids"),
        ({"samples": [{"text": "a"}]}, "samples"),
        ({"samples": [{"text": "a", "ids": [True], "ended": True}]}, "samples"),
        ({"samples": [{"text": "a", "ids": [-1], "ended": True}]}, "samples"),
    ],
)
def test_rows_of_another_form_are_named(write, change, field):
    path = Path(write({"a": answered("d")}))
    row = json.loads(path.read_text())
    lines = [row, row | change, {"prompt": "a"}]
    path.write_text("".join(json.dumps(each) + "\n" for each in lines))
    with pytest.raises(DataError) as error:
        SelfSamplesStream(str(path)).check()
    assert [(problem.line, problem.field) for problem in error.value.problems] == [
        (2, field),
        (3, None),
    ]


def test_at_least_one_per_prompt():
    with pytest.raises(RecipeError, match="per_prompt: expected at least 1, found 0"):
        SelfSamplesStream(per_prompt=0)


def test_padding_leaves_the_tokenizers_fingerprint_as_it_is():
    tokenizer = stub_tokenizer()
    before = tokenizer_fingerprint(tokenizer)
    tokenizer(["a", "bcd"], padding=True, truncation=True, max_length=2)
    assert tokenizer_fingerprint(tokenizer) == before
    assert tokenizer_fingerprint(stub_tokenizer({"eos": "<pad>"})) != before


def test_the_stream_is_sampled_with_a_file_and_the_old_name_says_so(write, caplog):
    path = write({"a": answered("de", "ed")})
    old = encode(path, forget("a"))
    assert "{name: sampled, path: " in caplog.text
    caplog.clear()
    stream = Stream.resolve("sampled")(path=path, per_prompt=2)
    new = stream.encode("self_samples", CODEC, {"forget": forget("a")}, 0)
    assert new.at(0, 0) == old.at(0, 0)
    assert not caplog.text


@pytest.mark.parametrize("given", [{"temperature": 0.5}, {"pool": 9}, {"cache": "elsewhere"}])
def test_settings_of_a_draw_beside_a_file_are_refused(given):
    with pytest.raises(RecipeError, match="sampling settings are given too"):
        Stream.resolve("sampled")(path="samples.jsonl", **given)
