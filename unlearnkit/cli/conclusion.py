"""Prints the verdict on a run, and its goals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.text import Text

from unlearnkit.cli.console import out
from unlearnkit.redact import printable

GOALS_NOT_MET = 3
"""Exit code where a goal is missed."""
COLLAPSED = "collapsed"
_NOT_GOOD = ("bad", "warn")
_STYLES = {"good": "bold green", "warn": "bold yellow", "bad": "bold red", "none": "bold"}


def show_again(run: str) -> None:
    """Judges a run by what was added to its folder, writes that down, and prints it."""
    from unlearnkit.runs.conclude import conclude_again
    from unlearnkit.runs.folder import load_run

    show_conclusion(conclude_again(load_run(run)).as_json())


def show_conclusion(conclusion: Mapping[str, Any]) -> bool:
    """Prints verdict and goals, as they stand in ``summary.json``.

    Returns:
        Whether all goals are met; those of a collapsed model are not.
    """
    console = out()
    verdict = conclusion.get("verdict")
    if verdict:
        style = _STYLES.get(verdict["status"], "bold")
        name, sentence = verdict["name"], verdict["sentence"]
        console.print()
        text = sentence.removeprefix(f"{name}: ")
        console.print(Text.assemble("verdict: ", (name, style), f": {printable(text)}"))
        if verdict["next"]:
            console.print(Text.assemble(("next: ", "bold"), f"{verdict['next']}."))
        for note in verdict["notes"]:
            console.print(Text(printable(note), style="dim"))
    goals = conclusion.get("goals", [])
    for goal in goals:
        word = ("met:    ", "green") if goal["met"] else ("missed: ", "bold red")
        console.print(Text.assemble("goal ", word, printable(goal["sentence"])))
    collapsed = bool(goals) and verdict is not None and verdict["name"] == COLLAPSED
    if collapsed:
        console.print("A collapsed model passes no check, whatever its goals are.")
    met = all(goal["met"] for goal in goals)
    if goals and met and verdict is not None and verdict["status"] in _NOT_GOOD and not collapsed:
        metrics = [each["metric"] for each in verdict.get("metrics", ())]
        more = f" A goal on {metrics[0]} makes it count." if metrics else ""
        console.print(
            f"The goals are met and decide the exit code: that it is '{verdict['name']}' does not "
            f"count.{printable(more)}",
            markup=False,
        )
    return not collapsed and met
