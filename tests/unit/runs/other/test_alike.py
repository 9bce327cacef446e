from __future__ import annotations

import json

from unit.report.run_folder import write_run
from unlearnkit.runs.compare import compare
from unlearnkit.runs.folder import load_run
from unlearnkit.runs.other.alike import unlike_rows


def run(folder, *rows):
    """A run that was measured on rows of suite, stream, prompt and true text."""
    path = write_run(folder)
    keys = ("suite", "stream", "prompt", "reference")
    lines = [{"when": "after", **dict(zip(keys, row, strict=True))} for row in rows]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (path / "rows.jsonl").write_text(
        text + json.dumps({"when": "before", "stream": "other"}) + "\n"
    )
    return load_run(path)


ONE = ("copyright", "forget", "Who?", " Ada.")
KEPT = ("copyright", "normal", "When?", "Now.")


def test_rows_are_alike_in_any_order_and_streams_of_one_run_are_left_alone(tmp_path):
    other = ("copyright", "forget", "Where?", "Here.")
    first = run(tmp_path / "a", ONE, other, KEPT)
    assert unlike_rows([first]) == unlike_rows([]) == frozenset()
    same = run(tmp_path / "b", other, ("copyright", "forget", "Who? ", "Ada."))
    assert unlike_rows([first, same]) == frozenset()
    fewer = run(tmp_path / "c", ONE, KEPT)
    assert unlike_rows([first, same, fewer]) == {"copyright/forget"}
    reworded = run(tmp_path / "d", ("copyright", "forget", "Who is it?", "Ada."), KEPT)
    assert unlike_rows([fewer, reworded]) == {"copyright/forget"}


def test_of_a_chat_the_last_user_turn_counts(tmp_path):
    turns = [run(tmp_path / name) for name in "ab"]
    for each, template in zip(turns, ("<|user|>Who?", "Question: Who?"), strict=True):
        row = {
            "suite": "s",
            "stream": "forget",
            "when": "after",
            "prompt": template,
            "asked": "Who?",
        }
        (each.folder / "rows.jsonl").write_text(json.dumps(row) + "\n")
    assert unlike_rows(turns) == frozenset()


def test_a_run_of_which_no_rows_can_be_read_is_alike(tmp_path):
    first, other = run(tmp_path / "a", ONE), run(tmp_path / "b", KEPT)
    (other.folder / "rows.jsonl").write_bytes(b'{"when": "after" \n\xff')
    assert unlike_rows([first, other]) == frozenset()
    (other.folder / "rows.jsonl").unlink()
    assert unlike_rows([first, other]) == frozenset()


def test_a_comparison_says_so(tmp_path):
    run(tmp_path / "a", ONE, KEPT)
    write_run(tmp_path / "b", recipe="other")
    found = compare([tmp_path / "a", tmp_path / "b"])
    assert found.unlike == {"copyright/forget", "copyright/normal"}
    assert found.notes[0].startswith("The runs were measured on different rows of forget, normal:")
    assert found.best("copyright/forget/rougeL_recall") == ()
