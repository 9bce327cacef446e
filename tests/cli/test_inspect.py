"""``unlearnkit inspect``."""

import json
import re


def test_a_run_is_inspected_once_and_what_was_found_is_kept(command, folder):
    assert command("fit", "-r", "good.yaml").code == 0
    (run,) = (folder / "runs" / "good").iterdir()
    refused = command("inspect", str(run))
    assert (refused.code, "without a gold model nobody knows" in refused.err) == (2, True)
    done = command("inspect", str(run), "--gold", "tiny/gold")
    assert done.code == 0, done.err
    found = json.loads((run / "inspection" / "depth.json").read_text())
    assert len(found["rows"]) == 3
    assert found["sentence"] in done.out.replace("\n", " ")
    assert re.search(r"unlearning depth score: (\d\.\d+|-)", done.out)
    assert {each["source"] for each in found["rows"]} == {f"forget.jsonl:{n}" for n in (1, 2, 3)}
    again = command("inspect", str(run), "--gold", "tiny/gold")
    assert again.out == done.out
    assert len([*(run / "inspection").iterdir()]) == 1
    fewer = command("inspect", str(run), "--gold", "tiny/gold", "--limit", "2")
    assert fewer.code == 0
    assert sorted(each.name for each in (run / "inspection").iterdir()) == [
        "depth-2.json",
        "depth.json",
    ]
    none = command("inspect", str(run), "--gold", "tiny/gold", "--limit", "0")
    assert (none.code, "--limit: expected at least 1, found 0" in none.err) == (2, True)
