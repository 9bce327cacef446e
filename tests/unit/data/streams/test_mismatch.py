from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stub import stub_tokenizer

from unlearnkit.data import MismatchStream
from unlearnkit.data.encoded import EncodedRows
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError, Place, RecipeError

CODEC = Codec(stub_tokenizer(), 16)


def rows(name, *texts, prompt="a"):
    data = EncodedRows(name, f"{name}.jsonl")
    for line, text in enumerate(texts, start=1):
        response = CODEC.fit(CODEC.prompt(prompt), CODEC.response(text))
        data.append([(CODEC.prompt(prompt), response)], Place(line, line), f"{prompt} {text}")
    return data


def mismatch(forget, retain, per_prompt=5, seed=0, name="mismatch"):
    streams = {"forget": forget, "retain": retain}
    return MismatchStream(per_prompt=per_prompt).encode(name, CODEC, streams, seed)


def answers(data, row, occurrence):
    return [CODEC.tokenizer.decode(e.response_ids[:-1]) for e in data.at(row, occurrence)]


@given(
    own=st.text("abc", min_size=1, max_size=2),
    pool=st.lists(st.text("abc", min_size=1, max_size=2), min_size=2, max_size=9),
    per_prompt=st.integers(1, 4),
    seed=st.integers(0, 3),
)
def test_answers_are_never_the_own_one_and_differ_when_they_can(own, pool, per_prompt, seed):
    forget, retain = rows("forget", own), rows("retain", *pool)
    others = set(pool) - {own}
    if not others:
        with pytest.raises(DataError, match="its own answer alone"):
            mismatch(forget, retain, per_prompt, seed)
        return
    data = mismatch(forget, retain, per_prompt, seed)
    for occurrence in range(12):
        drawn = answers(data, 0, occurrence)
        assert len(drawn) == per_prompt
        assert set(drawn) <= others
        assert len(set(drawn)) == min(per_prompt, len(others))


def test_a_draw_depends_on_seed_name_and_occurrence_alone():
    forget, retain = rows("forget", "ddd"), rows("retain", *(c + d for c in "abcde" for d in "abc"))
    first = [answers(mismatch(forget, retain), 0, n) for n in range(6)]
    backwards = mismatch(forget, retain)
    assert [answers(backwards, 0, n) for n in reversed(range(6))] == first[::-1]
    assert [answers(mismatch(forget, retain, seed=1), 0, n) for n in range(6)] != first
    assert [answers(mismatch(forget, retain, name="other"), 0, n) for n in range(6)] != first


def test_a_pass_over_the_pool_uses_every_answer_and_the_next_another_order():
    pool = [c + d for c in "abcde" for d in "abcd"]
    data = mismatch(rows("forget", "ddd"), rows("retain", *pool), per_prompt=4)
    first, second = (
        [text for n in range(start, start + 5) for text in answers(data, 0, n)] for start in (0, 5)
    )
    assert sorted(first) == sorted(second) == sorted(pool)
    assert first != second


def test_draws_of_a_prompt_in_the_pool_stay_near_even():
    texts = ["a", "b", "c", "d"]
    data = mismatch(rows("forget", *texts), rows("retain", *texts), per_prompt=1)
    counts = Counter(answers(data, n % 4, n)[0] for n in range(4000))
    assert max(counts.values()) < 1.1 * min(counts.values())


def test_lengths_are_those_of_the_draw():
    data = mismatch(rows("forget", "d"), rows("retain", "a", "bb", "ccc"), per_prompt=2)
    for occurrence in range(9):
        drawn = data.at(0, occurrence)
        expected = len(drawn), sum(len(e.response_ids) for e in drawn)
        assert data.lengths(0, occurrence) == expected


def test_answers_are_cut_to_the_prompt_s_room():
    forget = rows("forget", "d", prompt="a" * 14)
    data = mismatch(forget, rows("retain", "abcde", "edcba"), per_prompt=2)
    assert {e.response_ids for e in data.at(0, 0)} == {(4, 5), (8, 7)}


def test_an_answer_that_becomes_the_own_one_when_cut_is_no_other():
    forget = rows("forget", "ab", prompt="a" * 14)
    data = mismatch(forget, rows("retain", "abc", "edcba"), per_prompt=1)
    assert {e.response_ids for n in range(8) for e in data.at(0, n)} == {(8, 7)}


def test_a_pool_that_becomes_the_own_answer_when_cut_is_refused():
    forget = rows("forget", "ab", prompt="a" * 14)
    with pytest.raises(DataError, match="its own answer alone"):
        mismatch(forget, rows("retain", "abc", "abd"), per_prompt=1)


def test_each_turn_of_a_conversation_gets_answers():
    forget = EncodedRows("forget", "forget.jsonl")
    forget.append([([4], [5, 3]), ([4, 5, 3, 6], [7, 3])], Place(1, 1), "a b c d")
    forget.append([([4], [5, 3])], Place(2, 2), "a b")
    data = mismatch(forget, rows("retain", "aa", "bb", "cc"), per_prompt=2)
    assert [e.prompt_ids for e in data.at(0, 0)] == [(4,)] * 2 + [(4, 5, 3, 6)] * 2
    assert data.lengths(1, 1)[0] == 2
    assert {e.row for e in data.at(1, 1)} == {1}


def test_what_it_depends_on_is_encoded_first():
    assert MismatchStream(prompts="f", answers="r").depends_on() == ("f", "r")
    assert MismatchStream(prompts="f", answers="pool.jsonl").depends_on() == ("f",)


def test_a_pool_from_a_file_is_checked(tmp_path):
    path = tmp_path / "pool.jsonl"
    path.write_text('{"answer": "a"}\n{"answer": ""}\n')
    with pytest.raises(DataError, match="`answers_field: answer`"):
        MismatchStream(answers=str(path)).check()
    with pytest.raises(DataError, match="line 2, field 'answer': found empty text"):
        MismatchStream(answers=str(path), answers_field="answer").check()


def test_a_pool_of_arrays_can_be_taken_apart(tmp_path):
    path = tmp_path / "pool.jsonl"
    path.write_text('{"response": ["a", "b"]}\n{"response": "c"}\n')
    stream = MismatchStream(answers=str(path), explode=True, per_prompt=3)
    data = stream.encode("mismatch", CODEC, {"forget": rows("forget", "d")}, 0)
    assert sorted(answers(data, 0, 0)) == ["a", "b", "c"]


def test_a_stream_that_is_not_there_names_the_near_one():
    streams = {"forget": rows("forget", "a"), "retain": rows("retain", "b")}
    with pytest.raises(RecipeError, match=r"answers: 'retian' is not.*Did you mean 'retain'"):
        MismatchStream(answers="retian").encode("mismatch", CODEC, streams, 0)
    with pytest.raises(RecipeError, match=r"prompts: 'forgt' is not.*Did you mean 'forget'"):
        MismatchStream(prompts="forgt").encode("mismatch", CODEC, streams, 0)


def test_at_least_one_answer_per_prompt():
    with pytest.raises(RecipeError, match="per_prompt: expected at least 1, found 0"):
        MismatchStream(per_prompt=0)
