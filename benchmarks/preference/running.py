"""Trials that choose a rate, and the seeds that follow."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.flops import count_flops
from benchmarks.preference import trl_methods
from benchmarks.preference.measure import Looker
from benchmarks.preference.methods import METHODS
from benchmarks.preference.settings import Setting
from benchmarks.preference.task import Task, taught
from benchmarks.preference.watch import Figures, Watch
from benchmarks.stored import Results

KEY = ("kind", "method", "rate", "seed")
CHOOSING_SEED = 100
ACCURACY = 0.98
"""Pairs of unseen prompts that a reward model has to order."""
COUNTED_STEPS = 2

Line = dict[str, Any]


class Bench:
    """Holds the results and the taught models of a call.

    Args:
        results: Lines that are there are not made again.
        setting: What model, and how much of what.
        models: Folder that keeps the taught models; by default they are gone with this object.
        steps: Most steps of a run; None for each method's own.
    """

    def __init__(
        self,
        results: Results,
        setting: Setting,
        models: Path | None = None,
        steps: int | None = None,
    ) -> None:
        self.results, self._setting, self._steps = results, setting, steps
        self._passing = tempfile.TemporaryDirectory()
        self._models = models or Path(self._passing.name)
        self._tasks: dict[int, Task] = {}
        self._judges: dict[int, tuple[Any, Figures]] = {}

    def task(self, seed: int) -> Task:
        """The taught model of a seed, and a line of what it answers."""
        if seed not in self._tasks:
            self._tasks[seed] = taught(self._setting, seed, self._models / str(seed))
            task = self._tasks[seed]
            found = Looker(task, _part(seed)).last(task.model)
            self._put("before", "-", 0.0, seed, found)
        return self._tasks[seed]

    def trial(self, name: str, rate: float) -> Line:
        """A run on the choosing prompts; ``reward`` is the reward model."""
        known = self.results.get("trial", name, rate, CHOOSING_SEED)
        if known is not None:
            return known
        if name == "reward":
            _, watch = self._rewarded(CHOOSING_SEED, rate)
            found = {"reached": watch.reached, **watch.costs(), **watch.figures}
        else:
            watch = Watch(Looker(self.task(CHOOSING_SEED), "choosing"))
            self._train(name, rate, CHOOSING_SEED, watch)
            found = {"reached": watch.reached, **watch.costs(), **watch.figures}
        return self._put("trial", name, rate, CHOOSING_SEED, found)

    def rates(self, name: str, rates: Sequence[float]) -> list[float]:
        """The rates that reached the goal on the choosing prompts, see `ordered`."""
        return ordered([self.trial(name, rate) for rate in rates])

    def operations(self, name: str, rate: float) -> float:
        """Floating-point operations of a step, the mean of the first few, in a run of their own."""
        known = self.results.get("operations", name, rate, CHOOSING_SEED)
        if known is None:
            watch = Watch(lambda model, step: {}, lambda figures: False)

            def few() -> None:
                if name == "reward":
                    trl_methods.reward_model(self.task(CHOOSING_SEED), rate, COUNTED_STEPS, watch)
                else:
                    self._train(name, rate, CHOOSING_SEED, watch, COUNTED_STEPS)

            self.task(CHOOSING_SEED)
            if name != "reward" and METHODS[name].rewarded:
                self.judge(CHOOSING_SEED)  # its own operations are counted apart
            each = count_flops(few) / COUNTED_STEPS
            known = self._put("operations", name, rate, CHOOSING_SEED, {"a step": each})
        return known["a step"]

    def report(self, name: str, rates: Sequence[float], seed: int) -> list[Line]:
        """Runs stopped by looks at the reported prompts, until a rate reaches the goal."""
        lines: list[Line] = []
        for rate in rates:
            lines.append(self._report(name, rate, seed))
            if lines[-1]["reached"]:
                break
        return lines

    def _report(self, name: str, rate: float, seed: int) -> Line:
        known = self.results.get("seed", name, rate, seed)
        if known is not None:
            return known
        task = self.task(seed)
        looker = Looker(task, "reported")
        trained: list[Any] = []

        def look(model: Any, step: int) -> Figures:
            trained[:] = [model]
            return looker(model, step)

        watch = Watch(look)
        self._train(name, rate, seed, watch)
        flops = self.operations(name, rate) * watch.step
        found = {"reached": watch.reached, **watch.costs(), "flops": flops}
        if METHODS[name].rewarded:
            found["reward"] = self.judge(seed)[1]
        return self._put("seed", name, rate, seed, found | looker.last(trained[0]))

    def judge(self, seed: int) -> tuple[Any, Figures]:
        """The reward model of a seed, with what it cost."""
        if seed not in self._judges:
            course = self._setting.courses["reward"]
            rates = self.rates("reward", course.rates)
            if not rates and self._steps is None:
                raise SystemExit("no reward model told unseen pairs apart: see the trials")
            rate = [*rates, course.rates[-1]][0]  # after two steps none is any good
            model, watch = self._rewarded(seed, rate)
            flops = self.operations("reward", rate) * watch.step
            costs = {**watch.costs(), "flops": flops, **watch.figures}
            self._judges[seed] = model, costs
        return self._judges[seed]

    def _rewarded(self, seed: int, rate: float) -> tuple[Any, Watch]:
        task = self.task(seed)

        def look(model: Any, step: int) -> Figures:
            return trl_methods.judged(task, model, "choosing")

        def good(figures: Figures) -> bool:
            return figures["accuracy"] >= ACCURACY and figures["margin"] >= self._setting.margin

        watch = Watch(look, good)
        steps = self._steps or self._setting.courses["reward"].steps
        return trl_methods.reward_model(task, rate, steps, watch), watch

    def _train(
        self, name: str, rate: float, seed: int, watch: Watch, steps: int | None = None
    ) -> None:
        method = METHODS[name]
        judge = [self.judge(seed)[0]] if method.rewarded else []
        task = self.task(seed)
        most = steps or self._steps or self._setting.courses[name].steps
        method.train(task, rate, most, watch, *judge)

    def _put(self, kind: str, method: str, rate: float, seed: int, found: Line) -> Line:
        line = {"kind": kind, "method": method, "rate": rate, "seed": seed, **found}
        self.results.put(line)
        return line


def ordered(trials: Sequence[Line]) -> list[float]:
    """Rates of the trials that reached the goal, that of fewest steps first, the lower one of two.

    Example:
        >>> ordered([{"rate": 0.1, "reached": True, "step": 9}, {"rate": 1.0, "reached": False}])
        [0.1]
    """
    good = [line for line in trials if line["reached"]]
    return [line["rate"] for line in sorted(good, key=lambda x: (x["step"], x["rate"]))]


def _part(seed: int) -> str:
    return "choosing" if seed == CHOOSING_SEED else "reported"
