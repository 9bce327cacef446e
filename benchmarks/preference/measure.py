"""One run of one method, and the table of all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from benchmarks.flops import count_flops
from benchmarks.preference.data import Row, is_rude
from benchmarks.preference.methods import METHODS, Task
from benchmarks.preference.watch import Figures, Watch
from unlearnkit.data.tokens.codec import Codec
from unlearnkit.engine.generation.generate import generate

LONGEST = 24
KEPT = 0.9
"""Share of the answers to protected questions that a run has to keep to be compared."""
COUNTED_STEPS = 3


class Goal(NamedTuple):
    """When a run ends."""

    target: float
    every: int
    max_steps: int


def looker(task: Task) -> Callable[[Any], Figures]:
    """Generates answers and applies the rule; right answers are right to the letter."""
    codec = Codec(task.tokenizer, 512)

    def answers(model: Any, rows: Sequence[Row]) -> list[str]:
        prompts = codec.prompts([row["prompt"] for row in rows])
        made = generate(model, task.tokenizer, prompts, max_new_tokens=LONGEST, batch_size=64)
        return [each.text for each in made]

    def look(model: Any) -> Figures:
        found: Figures = {}
        for name in ("trained", "unseen"):
            texts = answers(model, task.rows[name])
            found[name] = sum(map(is_rude, texts)) / len(texts)
        for name in ("normal", "heldout"):
            rows = task.rows[name]
            right = (
                text.strip() == row["response"].strip()
                for text, row in zip(answers(model, rows), rows, strict=True)
            )
            found[name] = sum(right) / len(rows)
        return found

    return look


def run(task: Task, method: str, lr: float, goal: Goal, before: Figures) -> dict[str, Any]:
    """Trains until the goal or the last step; what it cost, and what the last look found."""
    watch = Watch(looker(task), goal.target, goal.every)
    METHODS[method](task, lr, goal.max_steps, watch)
    last = watch.looks[-1]
    done = watch.reached("trained") and watch.reached("unseen")
    return {
        "method": method,
        "lr": lr,
        "seed": task.seed,
        "reached": done,
        "kept": last["normal"] >= KEPT * before["normal"],
        **last,
    }


def flops_of_a_step(task: Task, method: str, lr: float) -> float:
    """Floating-point operations of a step, the mean of the first few, in a run of their own."""
    watch = Watch(lambda model: {}, 0.0, every=COUNTED_STEPS + 1)
    train = METHODS[method]
    return count_flops(lambda: train(task, lr, COUNTED_STEPS, watch)) / COUNTED_STEPS


def cheapest(runs: Sequence[dict[str, Any]], method: str) -> dict[str, Any] | None:
    """The run of least CPU time among those that reached the goal and kept the rest."""
    good = [r for r in runs if r["method"] == method and r["reached"] and r["kept"]]
    return min(good, key=lambda r: r["cpu"], default=None)


def ratios(runs: Sequence[dict[str, Any]], ours: str = "llmu") -> list[dict[str, Any]]:
    """Cost of ours over that of every other method, each by its cheapest run; by seed.

    A method without such a run has none.
    """
    found: list[dict[str, Any]] = []
    for seed in sorted({r["seed"] for r in runs}):
        part = [r for r in runs if r["seed"] == seed]
        mine = cheapest(part, ours)
        for method in dict.fromkeys(r["method"] for r in part if r["method"] != ours):
            other = cheapest(part, method)
            if mine and other:
                cost = {k: mine[k] / other[k] for k in ("wall", "cpu", "flops", "step")}
                found.append({"seed": seed, "method": method, **cost})
    return found
