"""Records of any file, and the questions on them."""

import csv

from unlearnkit.suites.parts.records import filled, known_field, question, read_records


def test_a_table_s_records_with_what_each_has(tmp_path):
    file = tmp_path / "people.csv"
    with file.open("w", newline="") as out:
        rows = [("who", "phone", "mail"), ("Ada", "555 0142", ""), ("Bo", "", "b@post.example")]
        csv.writer(out).writerows(rows)
    found = read_records(str(file), "who", ["mail", "phone"])
    assert [(each.number, each.name, each.values) for each in found] == [
        (0, "Ada", {"phone": "555 0142"}),
        (1, "Bo", {"mail": "b@post.example"}),
    ]
    assert found[1].source.startswith(f"{file}:")
    assert [each.name for each in read_records(str(file), "who", ["phone", "mail"], 1)] == ["Ada"]
    assert known_field(found[0], "phone") is None


def test_a_value_s_braces_are_text():
    assert filled("{name}, {field}", name="{field}", field="{name}") == "{field}, {name}"


def test_the_last_field_is_known_by_the_first(tmp_path):
    file = tmp_path / "people.jsonl"
    file.write_text('{"name": "Ada", "phone": "1", "mail": "2", "town": "3"}')
    (ada,) = read_records(str(file), "name", ["phone", "mail", "town"])
    labels = dict.fromkeys(ada.values, "thing") | {"phone": "telephone"}
    known = known_field(ada, "town")
    assert question("{known} {value}, {field}", ada, "town", labels, known) == "telephone 1, thing"
