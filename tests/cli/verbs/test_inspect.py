"""``unlearnkit inspect``."""

import json
import re


def test_a_run_is_inspected_once_and_what_was_found_is_kept(command, folder):
    assert command("fit", "-r", "good.yaml").code == 0
    (run,) = (folder / "runs" / "good").iterdir()
    refused = command("inspect", str(run))
    assert (refused.code, "without a gold model nobody knows" in refused.err) == (2, True)
    done = command("inspect", str(run), "--gold", "tiny/gold", "--tuned_steps", "2")
    assert done.code == 0, done.err
    found = json.loads((run / "inspection" / "depth.json").read_text())
    assert len(found["rows"]) == 3
    assert found["sentence"] in done.out.replace("\n", " ")
    assert re.search(r"unlearning depth score: (\d\.\d+|-)", done.out)
    assert {each["source"] for each in found["rows"]} == {f"forget.jsonl:{n}" for n in (1, 2, 3)}
    for lens in ("logit", "tuned"):
        assert f"by the {lens} lens" in " ".join(done.out.split())
        curves = found["lenses"][lens]
        assert {name: len(curve) for name, curve in curves.items()} == {
            "before": 4, "after": 4, "gold": 4,
        }  # fmt: skip
    for name in ("before", "after", "gold"):  # of the last block both read the model itself
        assert found["lenses"]["logit"][name][-1] == found["lenses"]["tuned"][name][-1]
    again = command("inspect", str(run), "--gold", "tiny/gold", "--tuned_steps", "2")
    assert again.out == done.out
    assert len([*(run / "inspection").iterdir()]) == 1
    fewer = command(
        "inspect", str(run), "--gold", "tiny/gold", "--limit", "2", "--tuned_steps", "0"
    )
    assert fewer.code == 0
    assert "tuned lens" not in fewer.out
    assert sorted(each.name for each in (run / "inspection").iterdir()) == [
        "depth-2.json",
        "depth.json",
    ]
    assert command("report", str(run)).code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "Where it went" in page
    assert "by the logit lens" in page
    less = command("inspect", str(run), "--gold", "tiny/gold", "--tuned_steps", "-1")
    assert (less.code, "--tuned_steps: expected 0 or more, found -1" in less.err) == (2, True)
    none = command("inspect", str(run), "--gold", "tiny/gold", "--limit", "0")
    assert (none.code, "--limit: expected at least 1, found 0" in none.err) == (2, True)
