"""Attacks what a recipe made: an adapter learns half of the passages."""

from __future__ import annotations

import gc
from collections.abc import Iterable
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.real.methods import Layer
from benchmarks.real.training import Models, trained
from benchmarks.stored import Result, Results
from unlearnkit.attacks.base import Target
from unlearnkit.attacks.relearn import Relearn
from unlearnkit.data.datamodule import UnlearningDataModule
from unlearnkit.data.streams.text import TextStream
from unlearnkit.models.base import load_tokenizer
from unlearnkit.runs.export import save_model

STORED = Path(__file__).parents[1] / "results" / "real.jsonl"
KEY = ("application", "method", "seed")
APPLICATION = "depth"
SEEDS = (1,)
FLOAT32: Layer = {"model": {"base": {"dtype": "float32"}}}
"""Of all models here, so that rounding neither hides nor spares anything."""
RECIPES = {
    "copyright": "`smollm2/copyright`",
    "copyright_selective": "`smollm2/copyright_selective`",
}
TITLES = {"taught": "before unlearning", "gold": "gold: never taught"} | RECIPES
RATES = (1e-3, 3e-4)
STEPS, RANK, PASSAGES = 20, 8, 10
FIGURE = "others/exact_memorization"


class Attacked:
    """Models of one seed, each attacked in the same ways.

    Args:
        seed: Of teaching and of unlearning.
        models: Where starting models are.
        results: The results.
        layers: Laid over the recipes; short trainings in tests.
        steps: Of the attacker.
    """

    def __init__(
        self,
        seed: int,
        models: Models,
        results: Results,
        layers: list[Layer] | None = None,
        steps: int = STEPS,
    ) -> None:
        self.seed, self.models, self.results = seed, models, results
        self.layers, self.steps = layers or [], steps

    def made(self, recipe: str) -> Path:
        """What a recipe makes of the taught model, as it is shipped."""
        target = self.models.folder / f"made-{recipe}-{self.seed}"
        if not target.is_dir():
            start = self.models.taught("copyright", self.seed)
            cli = trained(f"smollm2/{recipe}", start, self.seed, self.layers)
            policy: Any = cli.model.policy
            save_model(policy.merge_and_unload(), cli.datamodule.tokenizer, target)
            del cli, policy
            gc.collect()  # a trainer and its module hold each other
        return target

    def run(self, name: str, lr: float, draw: int = 0) -> Result:
        """Attacks ``taught``, ``gold`` or what a recipe makes, unless that was done.

        Args:
            name: The model.
            lr: Learning rate of the attacker.
            draw: Seed of the choice of passages.
        """
        result = self.results.get(APPLICATION, name, self.seed) or {
            "application": APPLICATION, "method": name, "seed": self.seed, "readings": []
        }  # fmt: skip
        if any((each["lr"], each["draw"]) == (lr, draw) for each in result["readings"]):
            return result
        if name == "taught":
            model = self.models.taught("copyright", self.seed)
        else:
            model = self.models.gold(self.seed) if name == "gold" else self.made(name)
        target = self._target(model)
        attack = Relearn(PASSAGES // 2, self.steps, at=[self.steps], lora=RANK, lr=lr, seed=draw)
        before, after = attack.run(str(model), attack.prepare(target), target)
        reading = {"draw": draw, "lr": lr, "before": before[FIGURE], "after": after[FIGURE]}
        result["readings"].append(reading)
        self.results.put(result)
        print(name, self.seed, reading, flush=True)
        return result

    def _target(self, model: Path) -> Target:
        # Passages whole: pieces of one passage overlap, and would tell of each other.
        stream = TextStream("tiny/book.jsonl", prompt_tokens=12, limit=PASSAGES)
        data = UnlearningDataModule({"forget": stream}, tokenizer=load_tokenizer(str(model)))
        data.check()
        return Target.of(data)


def published(path: Path = STORED) -> str:
    """The table of the kept results."""
    return table(Results(path, KEY).all()) + "\n"


def table(results: list[Result]) -> str:
    """A row a model: exact memorisation of the passages that the attacker does not hold."""
    head = ["Model", "as it is", *(f"after {STEPS} steps at {lr:g}" for lr in RATES), "Seeds"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    found = [each for each in results if each["application"] == APPLICATION]
    for name, title in TITLES.items():
        runs = [each for each in found if each["method"] == name]
        if not runs:
            continue
        readings = [reading for run in runs for reading in run["readings"]]
        cells = [_mean(each["before"] for each in readings)]
        cells += [_mean(x["after"] for x in readings if x["lr"] == lr) for lr in RATES]
        seeds = ", ".join(str(run["seed"]) for run in runs)
        lines.append(f"| {title} | {' | '.join(cells)} | {seeds} |")
    return "\n".join(lines)


def _mean(values: Iterable[float]) -> str:
    found = list(values)
    return f"{fmean(found):.2f}" if found else "-"
