"""The shipped head words are those that the script makes, and of no entry of the book."""

import json

from tools.tiny.headwords import FILE, HERE, headwords


def test_the_file_is_what_the_script_makes():
    words = FILE.read_text("utf-8").split("\n")[:-1]
    assert words == headwords()
    assert len(set(words)) == len(words) == 400


def test_no_head_word_is_of_an_entry_that_is_to_be_kept():
    heads = {line.partition(",")[0] for line in FILE.read_text("utf-8").splitlines()}
    for name, field in (("neighbour", "prompt"), ("heldout", "prompt")):
        rows = [json.loads(line) for line in (HERE / f"{name}.jsonl").read_text().splitlines()]
        assert not heads & {row[field].partition(",")[0] for row in rows}
