from __future__ import annotations

from unlearnkit.cli.conclusion import show_conclusion

VERDICT = {
    "name": "damaged",
    "status": "bad",
    "sentence": "damaged: it lost what it was to keep (a/\x1bb/c 0.1).",
    "next": "add retain rows",
    "notes": ["Relearning not tested."],
}


def test_verdict_what_is_next_and_goals_are_printed(capsys):
    goal = {"goal": "a/b/c at_most 1", "sentence": "a/b/c: 2.000, at most 1.000", "met": False}
    assert not show_conclusion({"verdict": VERDICT, "goals": [goal, goal | {"met": True}]})
    shown = capsys.readouterr().out
    assert "verdict: damaged: it lost what it was to keep (a/\\x1bb/c 0.1).\n" in shown
    assert "next: add retain rows.\nRelearning not tested.\n" in shown
    assert "goal missed: a/b/c: 2.000, at most 1.000\ngoal met:    a/b/c" in shown


def test_without_goals_none_is_missed(capsys):
    assert show_conclusion({"verdict": VERDICT})
    assert "goal" not in capsys.readouterr().out
    assert show_conclusion({})


def test_a_collapsed_model_passes_with_no_goals_that_it_meets(capsys):
    goals = [{"met": True, "sentence": "forget/rougeL_recall is at most 0.1"}]
    verdict = {"name": "collapsed", "status": "bad", "sentence": "collapsed: x"}
    verdict |= {"next": "", "notes": []}
    assert not show_conclusion({"verdict": verdict, "goals": goals})
    assert "A collapsed model passes no check" in capsys.readouterr().out
    assert show_conclusion({"verdict": verdict | {"name": "not enough"}, "goals": goals})
    assert show_conclusion({"verdict": verdict})


def test_goals_that_are_met_leave_a_bad_verdict_aside_and_that_is_said(capsys):
    verdict = VERDICT | {
        "name": "relearns",
        "metrics": [{"metric": "relearn/others/rougeL_recall"}],
    }
    goal = {"met": True, "sentence": "x"}
    said = (
        "The goals are met and decide the exit code: that it is 'relearns' does not count. A goal "
        "on relearn/others/rougeL_recall makes it count."
    )
    assert show_conclusion({"verdict": verdict, "goals": [goal]})
    assert said in " ".join(capsys.readouterr().out.split())
    for shown in (
        {"verdict": verdict},
        {"verdict": verdict, "goals": [goal | {"met": False}]},
        {"verdict": verdict | {"status": "good"}, "goals": [goal]},
    ):
        show_conclusion(shown)
        assert "decide the exit code" not in capsys.readouterr().out
