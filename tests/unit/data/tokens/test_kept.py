"""Token ids on disk: found again, never mistaken, never trusted when damaged."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from stub import stub_tokenizer

from unlearnkit.data import QAStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.tokens.kept import KeptTokens, cache_folder, remove_oldest


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("unlearnkit.data.tokens.codec.LEAST_CHARACTERS", 2)
    return tmp_path / "cache" / "tokens"


class Counting:
    """A codec that counts the texts which its tokenizer is given."""

    def __init__(self, spec=None, max_length=16):
        self.seen = []
        tokenizer = stub_tokenizer(spec)
        true = tokenizer._encode_plus

        def counted(text, **options):
            self.seen.extend(text if isinstance(text, list) else [text])
            return true(text, **options)

        tokenizer._encode_plus = counted
        self.codec = Codec(tokenizer, max_length)


def entries(cache):
    return sorted(path for path in cache.rglob("*") if path.is_file())


@pytest.fixture
def stream(tmp_path):
    rows = [{"prompt": "ab", "response": "cde"}, {"prompt": "b", "response": "a"}]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return QAStream(str(path))


def examples(stream, codec):
    data = stream.encode("forget", codec, {}, 0)
    return [data.at(row, row) for row in range(len(data))]


def test_a_second_run_tokenises_no_row(cache, stream):
    cold, warm = Counting(), Counting()
    first = examples(stream, cold.codec)
    assert {"ab", "cde"} <= set(cold.seen)
    assert examples(stream, warm.codec) == first
    assert not {"ab", "cde", "b"} & set(warm.seen)
    assert (first[0][0].prompt_ids, first[0][0].response_ids) == ((4, 5), (6, 7, 8, 3))


def test_another_tokenizer_or_setting_has_entries_of_its_own(cache):
    texts = ["ab", "c"]
    plain = KeptTokens(stub_tokenizer(), cache)
    plain.store(texts, [[1], [2]])
    assert plain.load(texts) == [[1], [2]]
    other = stub_tokenizer()
    other.add_tokens(["ab"])
    assert KeptTokens(other, cache).load(texts) is None
    split = stub_tokenizer()
    split.split_special_tokens = not split.split_special_tokens
    assert KeptTokens(split, cache).load(texts) is None


def test_texts_are_told_apart_however_they_are_cut(cache):
    tokens = KeptTokens(stub_tokenizer(), cache)
    tokens.store(["ab", "c"], [[4, 5], [6]])
    for others in (["a", "bc"], ["abc"], ["ab", "c", ""], ["c", "ab"]):
        assert tokens.load(others) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda raw: raw[:-4],
        lambda raw: raw[:10],
        lambda raw: b"",
        lambda raw: raw + b"\0\0\0\0",
        lambda raw: raw[:-1] + bytes([raw[-1] ^ 1]),
        lambda raw: raw[:40] + bytes([raw[40] ^ 1]) + raw[41:],
    ],
    ids=["shorter", "torn", "empty", "longer", "a bit of an id", "a bit of a length"],
)
def test_a_damaged_entry_is_worked_out_anew(cache, stream, damage):
    first = examples(stream, Counting().codec)
    whole = {path: path.read_bytes() for path in entries(cache)}
    assert len(whole) == 2  # prompts and responses
    for path, raw in whole.items():
        path.write_bytes(damage(raw))
    again = Counting()
    assert examples(stream, again.codec) == first
    assert {"ab", "cde"} <= set(again.seen)
    assert {path: path.read_bytes() for path in entries(cache)} == whole


def test_an_entry_under_another_s_name_is_not_taken_for_it(cache):
    tokens = KeptTokens(stub_tokenizer(), cache)
    tokens.store(["a"], [[4]])
    (first,) = entries(cache)
    tokens.store(["b"], [[5]])
    second = next(path for path in entries(cache) if path != first)
    second.write_bytes(first.read_bytes())
    assert tokens.load(["b"]) is None
    assert tokens.load(["a"]) == [[4]]


def test_writers_side_by_side_leave_whole_entries(cache):
    texts = [["ab" * n, "c"] for n in range(1, 9)]

    def write(_):
        tokens = KeptTokens(stub_tokenizer(), cache)
        for each in texts:
            tokens.store(each, [[n % 7 for n in range(5000)], [3]])
        return [tokens.load(each) for each in texts]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(write, range(8)))
    assert found == [[[[n % 7 for n in range(5000)], [3]]] * 8] * 8
    assert len(entries(cache)) == 8


def test_what_was_read_longest_ago_goes_first_and_other_files_stay(cache):
    tokens = KeptTokens(stub_tokenizer(), cache)
    named = {}
    for age, text in enumerate("abcde"):
        before = set(entries(cache))
        tokens.store([text], [[4] * 100])
        (named[text],) = set(entries(cache)) - before
        os.utime(named[text], (10**9 - age, 10**9 - age))
    size = named["a"].stat().st_size
    torn = named["a"].with_name("tmpabc.unfinished")
    torn.write_bytes(b"?")
    os.utime(torn, (10**9, 10**9))
    own = named["a"].with_name("mine.txt")
    own.write_bytes(b"0" * 10 * size)
    assert tokens.load(["e"]) is not None  # the oldest, until now
    remove_oldest(cache, 2 * size)
    assert set(entries(cache)) == {named["e"], named["a"], own}


def test_a_folder_that_cannot_be_written_costs_a_warning(cache, stream, caplog):
    cache.parent.write_text("a file where the folder would be")
    codec = Counting().codec
    assert len(examples(stream, codec)) == len(examples(stream, codec)) == 2
    (warning,) = caplog.messages
    assert "tokens cannot be kept in" in warning


def test_the_folder_is_the_user_s_choice(monkeypatch):
    monkeypatch.delenv("UNLEARNKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/unlearnkit")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "unlearnkit"
    monkeypatch.setenv("UNLEARNKIT_CACHE", "~/mine")
    assert cache_folder() == Path.home() / "mine"
    monkeypatch.setenv("UNLEARNKIT_CACHE", "")
    assert cache_folder() is None


def test_nothing_is_kept_of_a_tokenizer_whose_code_is_not_known(cache):
    assert KeptTokens.of(stub_tokenizer()) is not None
    own = type("Own", (type(stub_tokenizer()),), {"__module__": "transformers_modules.own"})
    tokenizer = stub_tokenizer()
    tokenizer.__class__ = own
    assert KeptTokens.of(tokenizer) is None
