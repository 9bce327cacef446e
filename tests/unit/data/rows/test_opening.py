"""Encodings, compression, separators, lines, folders and patterns of files."""

import gzip
import json
import logging

import datasets
import pyarrow
import pyarrow.parquet
import pytest

from unlearnkit.data.rows.reader import find_file, read_rows, search_folders
from unlearnkit.data.streams.alternate import AlternateStream
from unlearnkit.data.streams.idk import IdkStream
from unlearnkit.data.streams.qa import QAStream
from unlearnkit.data.streams.text import TextStream
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.errors import DataError

from stub import stub_tokenizer  # isort: skip

ROWS = [{"prompt": "ä", "response": "𝕒\n€"}]
JSONL = json.dumps(ROWS[0], ensure_ascii=False) + "\n"
CSV = 'prompt,response\nä,"𝕒\n€"\n'


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def refusal(read, *args, **kwargs):
    with pytest.raises(DataError) as caught:
        read(*args, **kwargs)
    return caught.value


def answers(path, **keys):
    file = IdkStream(answers=path, **keys)._file
    samples, problems = file.parse(file.read())
    assert not problems
    return [(each.place.row, each.text) for each in samples]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-be"])
@pytest.mark.parametrize(
    ("name", "content"), [("a.jsonl", JSONL), ("a.json", f"[{JSONL}]"), ("a.csv", CSV)]
)
def test_text_with_a_byte_order_mark_is_read(tmp_path, encoding, name, content):
    raw = content.encode(encoding)
    if encoding.endswith("be"):
        raw = "\ufeff".encode(encoding) + raw
    assert [row.fields for row in read_rows(write(tmp_path, name, raw)).rows] == ROWS


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (CSV.encode("utf-16-le"), "a NUL byte at byte 2, as in UTF-16 without"),
        (b"\xff\xfea", "bytes at byte 3 that are not UTF-16-LE"),
        (b"a\0b", "a NUL byte at byte 2"),
    ],
)
@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt"])
def test_bytes_that_are_no_text_are_refused(tmp_path, name, raw, found):
    (problem,) = refusal(read_rows, write(tmp_path, name, raw)).problems
    assert problem.found.startswith(found)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt"])
def test_latin_1_is_refused_with_the_byte_and_the_way_out(tmp_path, name):
    (problem,) = read_rows(write(tmp_path, name, "x\ncaf\xe9".encode("latin-1"))).problems[-1:]
    assert (problem.line, problem.found) == (2, "byte 0xE9 at byte 4, which is not UTF-8")
    assert "iconv -f latin1 -t utf-8 FILE" in problem.expected


@pytest.mark.parametrize("codec", ["gzip", "bz2", "zstd", "lz4"])
@pytest.mark.parametrize(
    ("name", "content"),
    [("a.jsonl", JSONL), ("a.json", f"[{JSONL}]"), ("a.csv", CSV), ("A.JSONL", JSONL)],
)
def test_compressed_files_are_read(tmp_path, codec, name, content):
    suffix = {"gzip": ".gz", "bz2": ".bz2", "zstd": ".zst", "lz4": ".lz4"}[codec]
    path = tmp_path / f"{name}{suffix}"
    with pyarrow.CompressedOutputStream(str(path), codec) as file:
        file.write(content.encode())
    assert [row.fields for row in read_rows(str(path)).rows] == ROWS


@pytest.mark.parametrize("raw", [gzip.compress(b"{}" * 1000, mtime=0)[:20], JSONL.encode()])
def test_a_file_that_is_not_compressed_or_cut_off_is_refused(tmp_path, raw):
    (problem,) = refusal(read_rows, write(tmp_path, "a.jsonl.gz", raw)).problems
    assert problem.found.startswith("broken .gz (")
    assert problem.expected == "a file compressed with gzip"


def test_a_missing_compressed_file_is_no_data_set(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path, "forget.jsonl.gz", b"")
    (problem,) = refusal(read_rows, "forgot.jsonl.gz").problems
    assert problem.found == "no such file"
    assert problem.expected.endswith("Did you mean 'forget.jsonl.gz'?")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_first_line_tells_what_separates_columns(tmp_path, separator):
    content = f'"a,b;c\td|e"{separator}r\n"1{separator}2"{separator}"x\r\n""y"""\r\n'
    (row,) = read_rows(write(tmp_path, "a.csv", content)).rows
    assert row.fields == {"a,b;c\td|e": f"1{separator}2", "r": 'x\r\n"y"'}


def test_one_column_has_no_separator_and_wrong_rows_say_which_they_have(tmp_path):
    path = write(tmp_path, "a.csv", "text\none\ntwo; three\n")
    assert [row.fields["text"] for row in read_rows(path).rows] == ["one", "two; three"]
    (problem,) = read_rows(write(tmp_path, "a.csv", "a;b\n1;2\n1;2;3\n")).problems
    assert (problem.line, problem.found) == (3, "3 columns, with ';' between them")


@pytest.mark.parametrize("name", ["idk.jsonl", "idk.json", "idk.txt", "idk.list", "idk"])
def test_lines_of_plain_text_are_a_pool_whatever_the_suffix(tmp_path, name):
    content = '\ufeffI\'m not sure.\r\n\r\n"No idea," she said.\n 3 of them? Who knows. \n'
    assert answers(write(tmp_path, name, content)) == [
        (1, "I'm not sure."),
        (2, '"No idea," she said.'),
        (3, "3 of them? Who knows."),
    ]


@pytest.mark.parametrize(
    "content", ['{"response": "a"}', '["a"]', '"a"\n', '[{"response": "a"}]', '\n"a",\n']
)
@pytest.mark.parametrize("name", ["idk.jsonl", "idk.json"])
def test_a_pool_of_json_is_not_taken_for_lines(tmp_path, name, content):
    assert [text for _, text in answers(write(tmp_path, name, content))] == ["a"]


@pytest.mark.parametrize("content", ['{"response": "a"', 'No.\n{"response": "a"}', "3\n4\n"])
def test_broken_json_is_not_taken_for_lines(tmp_path, content):
    path = write(tmp_path, "idk.jsonl", content)
    assert refusal(IdkStream(answers=path).check).problems[0].line == 1


def test_lines_are_rows_of_pools_alone(tmp_path):
    path = write(tmp_path, "book.jsonl", "One.\nTwo.\n")
    assert "broken JSON" in refusal(TextStream(path).check).problems[0].found


def folder_of_rows(tmp_path, broken=False):
    one = [{"prompt": "a", "response": "b"}, {"prompt": "c", "response": 4 if broken else "d"}]
    for name, rows in (("b", one), ("a", [{"prompt": "e", "response": "c"}])):
        write(tmp_path, f"d/{name}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    if broken:
        with (tmp_path / "d/b.jsonl").open("a") as file:
            file.write("{\n")
    return tmp_path / "d"


@pytest.mark.parametrize("pattern", ["", "*.jsonl", "*", "[ab].jsonl", "../**/*.jsonl"])
def test_a_folder_or_a_pattern_is_its_files_in_the_order_of_their_names(tmp_path, pattern):
    folder = folder_of_rows(tmp_path)
    write(folder, "README.md" if not pattern else ".hidden.jsonl", "x")
    table = read_rows(str(folder / pattern))
    assert [row.fields["prompt"] for row in table.rows] == ["e", "a", "c"]
    assert [row.place.row for row in table.rows] == [1, 2, 3]
    assert table.total == 3


def test_a_bad_row_of_several_files_is_named_by_its_own(tmp_path, caplog):
    folder = folder_of_rows(tmp_path, broken=True)
    problems = refusal(QAStream(str(folder)).check).problems
    assert [str(each).partition(":")[0] for each in problems] == [
        f"{folder / 'b.jsonl'}, row 2, field 'response'",
        f"{folder / 'b.jsonl'}, row 3",
    ]
    stream = QAStream(str(folder), on_bad_rows="drop")
    with caplog.at_level(logging.WARNING):
        data = stream.encode("forget", Codec(stub_tokenizer(), 8), {}, 0)
    assert (len(data), data.dropped) == (2, 2)
    assert f"{folder / 'b.jsonl'}, row 2" in caplog.text
    assert [data.at(row, 0)[0].source for row in range(2)] == [
        f"{folder}:row 1",
        f"{folder}:row 2",
    ]


def test_rows_below_a_field_of_several_files_are_numbered_through(tmp_path):
    for name, texts in (("a", ["a", "b"]), ("b", ["c"])):
        write(tmp_path, f"{name}.json", json.dumps({"qa": [{"response": each} for each in texts]}))
    pattern = str(tmp_path / "*.json")
    assert answers(pattern, rows_at="qa") == [(1, "a"), (2, "b"), (3, "c")]


def test_alternates_pair_with_prompts_of_the_same_files(tmp_path):
    rows = [{"prompt": p, "response": "b", "alternate": a} for p, a in ("ac", "bd", "ce")]
    for number in (0, 1):
        part = rows[number : number + 1 + number]
        write(tmp_path, f"{number}.json", json.dumps(part))
    pattern, codec = str(tmp_path / "*.json"), Codec(stub_tokenizer(), 8)
    forget = QAStream(pattern, where={"prompt": "c"}).encode("forget", codec, {}, 0)
    data = AlternateStream(pattern).encode("alternate", codec, {"forget": forget}, 0)
    assert codec.tokenizer.decode(data.at(0, 0)[0].response_ids) == "e<eos>"


@pytest.mark.parametrize(
    ("names", "found", "expected"),
    [
        ([], "a folder with no files of rows", "*.jsonl"),
        (["a.md"], "a folder with no files of rows", "*.jsonl"),
        (["a.json", "b.csv"], "a folder with files of several kinds, .csv, .json", "*.csv"),
    ],
)
def test_a_folder_that_is_not_of_one_kind_is_refused(tmp_path, names, found, expected):
    for name in names:
        write(tmp_path, name, "x")
    (problem,) = refusal(read_rows, str(tmp_path)).problems
    assert problem.found == found
    assert problem.expected == f"those of one kind, such as {tmp_path / expected}"


def test_a_pattern_without_files_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (problem,) = refusal(read_rows, "x/*.jsonl").problems
    assert problem.found == "no file of such a name"


def test_a_pattern_is_looked_up_beside_the_recipe(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder_of_rows(tmp_path)
    token = search_folders.set((tmp_path,))
    try:
        assert [row.fields["prompt"] for row in read_rows("d/*.jsonl").rows] == ["e", "a", "c"]
        assert find_file("d/*.jsonl") == tmp_path / "d/a.jsonl"
    finally:
        search_folders.reset(token)


def test_a_name_with_brackets_is_a_file_first(tmp_path):
    path = write(tmp_path, "a[1].jsonl", JSONL)
    assert [row.fields for row in read_rows(path).rows] == ROWS


def test_parquet_in_parts_and_row_groups_is_read_in_order(tmp_path):
    rows = [{"n": n, "nested": [{"texts": [str(n)]}]} for n in range(5)]
    for start in (0, 3):
        path = tmp_path / f"train-{start}.parquet"
        table = pyarrow.Table.from_pylist(rows[start : start + 3])
        pyarrow.parquet.write_table(table, path, row_group_size=2)
    assert [row.fields for row in read_rows(str(tmp_path)).rows] == rows


def test_large_integers_stay_exact(tmp_path):
    path = write(tmp_path, "a.jsonl", f'{{"id": {2**80 + 1}}}')
    assert read_rows(path).rows[0].fields == {"id": 2**80 + 1}


def test_a_saved_data_set_is_read_by_its_split(tmp_path):
    data = datasets.Dataset.from_list(ROWS)
    data.save_to_disk(str(tmp_path / "one"))
    datasets.DatasetDict({"forget": data}).save_to_disk(str(tmp_path / "several"))
    assert [row.fields for row in read_rows(str(tmp_path / "one")).rows] == ROWS
    several = str(tmp_path / "several")
    assert [row.fields for row in read_rows(several, split="forget").rows] == ROWS
    (problem,) = read_rows(several).problems
    assert (problem.found, problem.expected) == ("'train'", "one of 'forget'")
