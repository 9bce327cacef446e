import datasets
import pyarrow
import pyarrow.parquet
import pytest

from unlearnkit.data.rows.reader import find_file, read_rows, search_folders
from unlearnkit.errors import DataError, Place

ROWS = [{"prompt": "a", "response": "b"}, {"prompt": "c", "response": "d\ne"}]
NUMBERED = [(Place(1), ROWS[0]), (Place(2), ROWS[1])]


def write(folder, name, content):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def problem_of(path):
    """The one problem of a file, whether it stops the reading or not."""
    try:
        (problem,) = read_rows(path).problems
    except DataError as error:
        (problem,) = error.problems
    return problem


@pytest.mark.parametrize(
    ("name", "content", "lines"),
    [
        (
            "a.jsonl",
            '{"prompt": "a", "response": "b"}\n{"prompt": "c", "response": "d\\ne"}',
            [1, 2],
        ),
        (
            "a.json",
            '[{"prompt": "a", "response": "b"},\n\n{"prompt": "c", "response": "d\\ne"}]\n',
            [1, 3],
        ),
        ("a.csv", 'prompt,response\r\na,b\r\n\r\nc,"d\ne"\r\n', [2, 4]),
        ("a.tsv", 'prompt\tresponse\na\tb\nc\t"d\ne"\n', [2, 3]),
    ],
)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "bom"])
def test_text_formats_give_the_same_rows(tmp_path, name, content, lines, mark):
    table = read_rows(write(tmp_path, name, mark + content.encode()))
    assert [row.fields for row in table.rows] == ROWS
    assert [row.line for row in table.rows] == lines
    assert not table.problems


def test_parquet_rows_are_numbered(tmp_path):
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
    assert [tuple(row) for row in read_rows(str(path)).rows] == NUMBERED


def test_a_text_file_is_one_row(tmp_path):
    (row,) = read_rows(write(tmp_path, "book.txt", "One.\r\n\r\nTwo.\n")).rows
    assert row.fields == {"text": "One.\n\nTwo.\n"}


def test_a_data_set_is_asked_for_its_split_and_configuration(monkeypatch):
    asked = []

    def load_dataset(*args, **kwargs):
        asked.append((args, kwargs))
        return datasets.Dataset.from_list(ROWS)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    table = read_rows("somebody/rows", split="forget01", config="small")
    assert asked == [(("somebody/rows", "small"), {"split": "forget01"})]
    assert [tuple(row) for row in table.rows] == NUMBERED


def test_a_data_set_that_cannot_be_had_says_why():
    problem = problem_of("somebody/rows")
    assert "no such file, and no such data set" in problem.found
    assert "OfflineModeIsEnabled" in problem.found


@pytest.mark.parametrize(
    ("name", "content", "places"),
    [
        (
            "a.jsonl",
            '{"prompt": "a", "prompt": "b"}\n{"prompt": "c"}\n{"b": {"c": 1, "c": 1}, "b": 2}',
            [(1, "prompt"), (3, "c"), (3, "b")],
        ),
        ("a.json", '[{"a": 1},\n {"a": 1, "a": 1},\n {"b": 1, "b": 1}]', [(2, "a"), (3, "b")]),
        ("a.csv", "prompt,response,prompt\na,b,c\n", [(1, "prompt")]),
    ],
)
def test_a_name_that_stands_twice_is_refused(tmp_path, name, content, places):
    problems = read_rows(write(tmp_path, name, content)).problems
    assert [(each.line, each.field) for each in problems] == places
    assert {each.found for each in problems} == {"the name more than once"}


def test_a_parquet_column_that_stands_twice_is_refused(tmp_path):
    table = pyarrow.table([[1], [2]], names=["prompt", "prompt"])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    (problem,) = read_rows(str(tmp_path / "a.parquet")).problems
    assert (problem.place, problem.field) == (None, "prompt")
    assert problem.found == "the name more than once"


def test_only_a_newline_ends_a_line(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"prompt": "a\u2028b\x85c"}\n{"prompt": "d"}\n')
    assert [row.line for row in read_rows(path).rows] == [1, 2]


@pytest.mark.parametrize(
    ("name", "content", "line", "found"),
    [
        ("a.jsonl", "{}\n[1]", 2, "array"),
        ("a.jsonl", '{}\n"text"', 2, "text"),
        ("a.jsonl", '{}\n{"a": 1} {"b": 2}', 2, "broken JSON (Extra data, column 10)"),
        ("a.jsonl", '{}\n{"a": ' + "9" * 5000 + "}", 2, "broken JSON (Exceeds the limit"),
        ("a.jsonl", "{}\n" + "[" * 100_000, 2, "broken JSON (maximum recursion depth"),
        ("a.json", '[{"a": 1},\n {"a": 2', 2, "broken JSON"),
        ("a.json", '[{"a": 1}\n {"a": 2}]', 2, "broken JSON (Expecting ',' or ']', column 2)"),
        ("a.json", '[{"a": 1}]\n[]', 1, "broken JSON (Extra data after the array"),
        ("a.json", '[{"a": 1},\n 3]', 2, "number"),
        ("a.csv", "a,b\n1,2\n3\n", 3, "1 columns"),
        ("a.csv", 'a,b\n1,2\n"3,4\n', 3, "broken CSV"),
        ("a.csv", b"a,b\n1,2\n3,\xff\n", 3, "byte 0xFF at byte 3, which is not UTF-8"),
        ("a.txt", b"one\ntwo\xe9\n", 2, "byte 0xE9 at byte 4, which is not UTF-8"),
        ("a.parquet", "PAR1", None, "broken Parquet"),
        ("a.jsonl", "\n\n", None, "0 rows"),
        ("a.json", "[]", None, "0 rows"),
        ("a.csv", "a,b\n", None, "0 rows"),
        ("a.csv", "", None, "0 rows"),
        ("a.txt", " \n", None, "0 rows"),
        ("a.xlsx", "a", None, "the suffix '.xlsx'"),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_why(tmp_path, name, content, line, found):
    problem = problem_of(write(tmp_path, name, content))
    assert problem.line == line
    assert problem.found.startswith(found)


def test_bad_lines_do_not_hide_each_other_nor_the_good_ones(tmp_path):
    table = read_rows(write(tmp_path, "a.jsonl", b'{"a": 1}\n{"a"\n{"a": 2}\n\xff\n3\n'))
    assert [row.line for row in table.rows] == [1, 3]
    assert [problem.line for problem in table.problems] == [2, 4, 5]


def test_a_missing_file_names_the_nearest_one(tmp_path):
    write(tmp_path, "forget.jsonl", "{}")
    problem = problem_of(str(tmp_path / "forgot.jsonl"))
    assert problem.found == "no such file"
    assert f"Did you mean '{tmp_path / 'forget.jsonl'}'?" in problem.expected


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    path = write(tmp_path, "a.jsonl", "{}")

    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    assert problem_of(path).found == "a file that cannot be read (Permission denied)"


def test_paths_are_looked_up_here_then_by_the_recipe_then_in_the_package(tmp_path, monkeypatch):
    here, recipe = tmp_path / "here", tmp_path / "recipe"
    for folder in (here, recipe):
        (folder / "tiny").mkdir(parents=True)
    monkeypatch.chdir(here)
    token = search_folders.set((recipe,))
    try:
        shipped = find_file("tiny/book.jsonl")
        assert shipped is not None
        assert shipped.parent.parent.name == "unlearnkit"
        write(recipe, "tiny/book.jsonl", "{}")
        assert find_file("tiny/book.jsonl") == recipe / "tiny/book.jsonl"
        write(here, "tiny/book.jsonl", "{}")
        assert find_file("tiny/book.jsonl").resolve() == here / "tiny/book.jsonl"
    finally:
        search_folders.reset(token)
    assert find_file("data/book.jsonl") is None
