"""Token ids on disk: found again, never mistaken, never trusted when damaged."""

import json
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from processes import start
from stub import stub_tokenizer

from unlearnkit.data import ChatStream, QAStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.data.tokens.kept import KeptTokens, _digest, cache_folder, remove_oldest
from unlearnkit.suites import Hallucination, Muse, SuiteContext, Tofu
from unlearnkit.suites.parts.asking import Asking

CHAT = {
    "chat_template": "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token if m.role "
    "== 'assistant' else '' }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("unlearnkit.data.tokens.codec.LEAST_CHARACTERS", 2)
    return tmp_path / "cache" / "tokens"


class Counting:
    """A codec that counts the texts which its tokenizer is given."""

    def __init__(self, spec=None, max_length=16):
        self.seen, self.calls = [], 0
        tokenizer = stub_tokenizer(spec)
        true = tokenizer._encode_plus

        def counted(text, **options):
            self.calls += 1
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


def test_conversations_are_tokenised_together_and_found_again(cache, tmp_path):
    rows = [[{"role": "user", "content": w}, {"role": "assistant", "content": w}] for w in "abcde"]
    rows[2] = rows[2][:1]  # nothing to learn, so refused
    path = tmp_path / "chat.jsonl"
    path.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    stream = ChatStream(str(path), on_bad_rows="drop")
    cold, warm = Counting(CHAT, 64), Counting(CHAT, 64)
    first = examples(stream, cold.codec)
    calls = [text for text in cold.seen if "user" in text]
    assert len(calls) == len(first) == 4
    assert cold.calls <= 4  # prompts, answers, and what the codec asks beside
    assert examples(stream, warm.codec) == first
    assert not set(calls) & set(warm.seen)
    template = {"chat_template": CHAT["chat_template"], "tokenize": True, "return_dict": False}
    for word, (found,) in zip("abde", first, strict=True):
        said = [{"role": "user", "content": word}, {"role": "assistant", "content": word}]
        whole = cold.codec.tokenizer.apply_chat_template(said, **template)
        assert [*found.prompt_ids, *found.response_ids] == whole


@pytest.mark.parametrize(
    "suite",
    [
        Tofu("tiny/tofu_power", "forget10", limit=3),
        Muse("tiny/muse"),
        Hallucination("tiny/myths", limit=3),
    ],
    ids=lambda suite: suite.registered_name,
)
def test_suites_of_published_files_tokenise_in_batches_that_are_found_again(cache, suite):
    context = SuiteContext(max_length=128)
    cold, warm = Counting({"add_bos": True}, 128), Counting({"add_bos": True}, 128)
    suite.check(cold.codec.tokenizer, context)
    assert 2 * cold.calls < len(cold.seen)
    suite.check(warm.codec.tokenizer, context)
    probes = {"a"}  # of which the codec learns what a tokenizer puts in front
    assert set(warm.seen) <= probes


def test_questions_of_rwku_and_multiple_choice_are_tokenised_together(cache):
    cold = Counting()
    assert cold.codec.bos == []
    before = cold.calls
    asked = [(f"{letter}?\n", "a") for letter in "abcde"]
    found = Asking(None, cold.codec, SuiteContext(), None).prompts(asked)
    assert cold.calls == before + 1
    assert found == [Codec(stub_tokenizer(), 16).prompt(text + lead) for text, lead in asked]


def _encode(rank_folder, files, out):
    done = {}
    (Path(rank_folder) / f"{os.getpid()}.there").touch()
    while len(list(Path(rank_folder).glob("*.there"))) < 2:  # both begin with nothing kept
        time.sleep(0.001)
    for file in files:
        data = QAStream(file).encode("forget", Codec(stub_tokenizer(), 512), {}, 0)
        done[file] = [data.at(row, row)[0][:2] for row in range(len(data))]
    (Path(out) / f"{os.getpid()}.json").write_text(json.dumps(done))


@pytest.mark.ranks
def test_two_processes_that_begin_with_nothing_kept_agree_and_tear_no_entry(tmp_path):
    folder, files = tmp_path / "cache", [str(tmp_path / f"{n}.jsonl") for n in range(3)]
    for n, file in enumerate(files):
        rows = [{"prompt": "ab" * 20 + "abcde"[i % 5], "response": "cde" * n + "a"} for i in
                range(2500)]  # fmt: skip
        Path(file).write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "out"
    out.mkdir()
    env = {"UNLEARNKIT_CACHE": str(folder)}
    running = [start(_encode, str(tmp_path), files, str(out), env=env) for _ in range(2)]
    assert [each.wait().returncode for each in running] == [0, 0]
    one, other = (json.loads(each.read_text()) for each in out.glob("*.json"))
    plain = Codec(stub_tokenizer(), 512)
    expected = {
        file: [[plain.prompt(r["prompt"]), plain.response(r["response"])] for r in map(
            json.loads, Path(file).read_text().splitlines())]
        for file in files
    }  # fmt: skip
    assert one == other == expected
    left = [path for path in folder.rglob("*") if path.is_file()]
    assert left
    assert not [path for path in left if path.suffix == ".unfinished"]
    for path in left:  # each entry's first bytes are the digest of its name and content
        raw = path.read_bytes()
        assert _digest(path.name.encode(), raw[32:]) == raw[:32]
