"""Splits and slices of local files, with the meaning that datasets gives them."""

import json

import datasets
import pytest

from unlearnkit.data import MismatchStream, QAStream
from unlearnkit.data.rows.reader import read_rows
from unlearnkit.data.rows.splits import ranges
from unlearnkit.errors import DataError, Place


@pytest.fixture
def write(tmp_path):
    def write(name, count, first=0):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = [{"prompt": f"p{n}", "response": "x"} for n in range(first, first + count)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return str(path)

    return write


def prompts(path, split="train", **options):
    return [int(row.fields["prompt"][1:]) for row in read_rows(path, split=split, **options).rows]


@pytest.mark.parametrize(
    ("split", "right"),
    [
        ("train", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("train[:70%]", [0, 1, 2, 3, 4, 5, 6]),
        ("train[70%:]", [7, 8, 9]),
        ("train[-10%:]", [9]),
        ("train[2:5]", [2, 3, 4]),
        ("train[-2:]", [8, 9]),
        ("train[:25%]", [0, 1]),  # 2.5 is rounded to the even number
        ("train[:35%]", [0, 1, 2, 3]),  # and so is 3.5
        ("train[:33%]", [0, 1, 2]),
        ("train[8:100]", [8, 9]),
        ("train[:1]+train[-1:]", [0, 9]),
    ],
)
def test_a_slice_of_a_file(write, split, right):
    path = write("f.jsonl", 10)
    assert prompts(path, split) == right
    table = read_rows(path, split=split)
    # A row keeps its number in the file.
    assert [row.place for row in table.rows] == [Place(n + 1, n + 1) for n in right]
    assert table.total == 10


@pytest.mark.parametrize("size", [1, 3, 7, 10, 101])
@pytest.mark.parametrize(
    "split", ["train[:50%]", "train[33%:66%]", "train[-10%:]", "train[:-90%]", "train[1:]", "train"]
)
def test_slices_are_those_of_datasets(size, split):
    data = datasets.Dataset.from_dict({"n": list(range(size))})
    (part,) = datasets.ReadInstruction.from_spec(split).to_absolute({"train": len(data)})
    right = list(range(part.from_, part.to))
    if right:
        assert [row for _, rows in ranges("f", split, {"train": size}) for row in rows] == right
    else:
        with pytest.raises(DataError, match="which is no row"):
            ranges("f", split, {"train": size})


def test_slices_share_no_row_and_bad_rows_of_others_do_not_matter(write, tmp_path):
    path = write("f.jsonl", 10)
    with open(path, "a") as file:
        file.write('{"prompt": "p10", "response": ""}\n')
    first, rest = (QAStream(path, split=each) for each in ("train[:60%]", "train[60%:]"))
    assert [row.place.row for row in first.read().rows] == [1, 2, 3, 4, 5, 6, 7]
    first.check()
    with pytest.raises(DataError, match="line 11, field 'response': found empty text"):
        rest.check()


def test_a_slice_is_taken_of_the_rows_below_a_field(tmp_path):
    path = tmp_path / "f.json"
    path.write_text(json.dumps({"data": [{"prompt": f"p{n}"} for n in range(4)]}))
    assert prompts(str(path), "train[50%:]", rows_at="data") == [2, 3]


def test_a_slice_of_a_pool_counts_its_lines(tmp_path):
    (tmp_path / "pool.txt").write_text("one\ntwo\nthree\nfour\n")
    table = read_rows(str(tmp_path / "pool.txt"), split="train[:50%]", lines=True)
    assert [row.fields["text"] for row in table.rows] == ["one", "two"]


@pytest.mark.parametrize(
    ("split", "said"),
    [
        ("test", "field 'split': found 'test' of a file, expected 'train'"),
        ("test[:50%]", "found 'test' of a file"),
        ("train[:70", "found 'train[:70', expected a split or a part of it, such as train[:70%]"),
        ("train[5:5]", "found 'train[5:5]', which is no row, expected a part of train of 10 rows"),
        ("train[:200%]", "Percent slice boundaries"),
    ],
)
def test_what_a_file_does_not_have_is_refused(write, split, said):
    with pytest.raises(DataError) as error:
        read_rows(write("f.jsonl", 10), split=split)
    assert said in str(error.value)


def test_a_configuration_of_a_file_is_refused(write):
    path = write("f.jsonl", 2)
    with pytest.raises(DataError, match="found config: small, expected none: a file has no"):
        QAStream(path, config="small").check()
    with pytest.raises(DataError, match="found config: small"):
        MismatchStream(answers=path, config="small").check()


def test_files_of_a_folder_are_its_splits(write, tmp_path):
    write("set/train.jsonl", 4)
    write("set/test.jsonl", 3, first=10)
    folder = str(tmp_path / "set")
    assert prompts(folder) == [0, 1, 2, 3]
    assert prompts(folder, "test") == [10, 11, 12]
    assert prompts(folder, "test[:34%]") == [10]
    assert prompts(folder, "train[-1:]+test[-1:]") == [3, 12]
    with pytest.raises(DataError, match="'validation' of a folder without a file of that name"):
        read_rows(folder, split="validation")


def test_configurations_of_a_folder_are_its_files_or_folders(write, tmp_path):
    write("set/forget01.jsonl", 2)
    write("set/small/train.jsonl", 1, first=5)
    folder = str(tmp_path / "set")
    assert prompts(folder, config="forget01") == [0, 1]
    assert prompts(folder, config="small") == [5]
    with pytest.raises(DataError, match=r"config: large, expected .*: forget01.jsonl, small"):
        read_rows(folder, config="large")


def test_shards_of_a_split_are_one(write, tmp_path):
    write("set/train-00000-of-00002.jsonl", 3)
    write("set/train-00001-of-00002.jsonl", 3, first=3)
    write("set/test-00000-of-00001.jsonl", 1, first=9)
    assert prompts(str(tmp_path / "set"), "train[50%:]") == [3, 4, 5]


def test_a_slice_of_a_saved_data_set(tmp_path):
    rows = datasets.Dataset.from_list([{"prompt": f"p{n}"} for n in range(4)])
    datasets.DatasetDict({"train": rows}).save_to_disk(tmp_path / "saved")
    assert prompts(str(tmp_path / "saved"), "train[:50%]") == [0, 1]
    rows.save_to_disk(tmp_path / "one")
    assert prompts(str(tmp_path / "one"), "train[2:]") == [2, 3]
    with pytest.raises(DataError, match="found 'test'"):
        QAStream(str(tmp_path / "one"), split="test").check()


def test_rows_of_a_slice_of_the_hub_have_their_numbers_in_the_split(monkeypatch):
    asked = []

    def load_dataset(*args, split):
        asked.append(split)
        return datasets.Dataset.from_list([{"prompt": f"p{n}"} for n in range(10)])

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    table = read_rows("somebody/rows", split="train[70%:]")
    assert asked == ["train"]
    assert [(row.place.row, row.fields["prompt"]) for row in table.rows] == [
        (8, "p7"),
        (9, "p8"),
        (10, "p9"),
    ]
    assert table.total == 10
