"""HaluEval's invented answers forgotten by the model itself, TruthfulQA's kept.

The files are the user's, in one folder: ``halueval/qa_one-turn_data.json`` and
``truthfulqa/TruthfulQA.csv``. The results hold figures, and what the unlearned model answers to
questions that it was not trained on; no row of the files.
"""

from __future__ import annotations

import gc
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.real.methods import Layer
from benchmarks.real.tables import spread
from benchmarks.real.training import Models, built, trained
from benchmarks.stored import Result, Results
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.shipped import shipped
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model
from unlearnkit.suites.base import SuiteContext

APPLICATION, RECIPE = "halueval", "smollm2/halueval"
BEFORE, AFTER = "before", "recipe"
UNTRAINED = ("unseen", "heldout")


def of_folder(folder: Path) -> Layer:
    """The recipe's streams with their files in a folder.

    Raises:
        FileNotFoundError: If a file is not there.
    """
    streams = read([shipped()[RECIPE]]).tree["data"]["streams"]
    found = {k: {**v, "path": str(folder / v["path"])} for k, v in streams.items() if "path" in v}
    for each in found.values():
        if not Path(each["path"]).is_file():
            raise FileNotFoundError(f"--published: expected the file {each['path']}")
    return {"data": {"streams": found}}


class Published:
    """The base model before and after the recipe, with all seeds.

    Args:
        folder: Of the files.
        models: Where the base model is.
        results: The results.
        layer: Laid over the recipe; short trainings in tests.
    """

    def __init__(
        self, folder: Path, models: Models, results: Results, layer: Layer | None = None
    ) -> None:
        self.models, self.results = models, results
        self.layers = [of_folder(folder), *([layer] if layer else [])]
        self._base: Any = None

    def run(self, seed: int) -> None:
        """Trains and measures one seed, unless that was done."""
        if self.results.get(APPLICATION, BEFORE, 0) is None:
            cli = built(RECIPE, self.models.base(), 0, self.layers)
            self._write(BEFORE, 0, cli, self._reference(), {})
        if self.results.get(APPLICATION, AFTER, seed) is None:
            cli = trained(RECIPE, self.models.base(), seed, self.layers)
            policy: Any = cli.model.policy
            model = policy.merge_and_unload()
            self._write(AFTER, seed, cli, model, {"steps": cli.trainer.global_step})
            del cli, policy, model
            gc.collect()  # a trainer and its module hold each other

    def _reference(self) -> Any:
        if self._base is None:
            self._base = load_model(BaseModel(str(self.models.base()), dtype="float32"))
        return self._base

    def _write(self, name: str, seed: int, cli: Any, model: Any, facts: dict[str, Any]) -> None:
        cli.datamodule.check()
        context = SuiteContext(
            data=cli.datamodule.data, reference=self._reference(), seed=seed, batch_size=20
        )
        figures: dict[str, dict[str, float]] = {}
        answers: dict[str, list[str]] = {stream: [] for stream in UNTRAINED}
        for suite in cli.suites:
            found = suite.run(model, cli.datamodule.tokenizer, context)
            figures[suite.registered_name] = found.values
            if suite.registered_name == "harmful":
                for row in found.rows:
                    if row["stream"] in answers:
                        answers[str(row["stream"])].append(str(row["generated"]))
        result = {"application": APPLICATION, "method": name, "seed": seed, **facts}
        if name == BEFORE:  # the base model repeats questions of the files to the letter
            answers = {}
        self.results.put(result | {"figures": figures, "answers": answers})
        print(APPLICATION, name, seed, figures, flush=True)


Figures = Mapping[str, Mapping[str, float]]


def changes(before: Figures, after: Figures) -> dict[str, float]:
    """What a run changed, in the columns of the table.

    Args:
        before: Figures of the base model by suite.
        after: Those of the unlearned one.
    """
    said, told = before["harmful"], after["harmful"]
    old, new = before["copyright"], after["copyright"]
    gained = {key: new[f"{key}/nll"] - old[f"{key}/nll"] for key in ("forget", "unseen")}
    kept = {
        kind: new[f"{kind}/perplexity"] / old[f"{kind}/perplexity"]
        for kind in ("normal", "heldout", "neighbour")
    }
    return {
        "trained": gained["forget"],
        "unseen": gained["unseen"],
        "ratio": gained["unseen"] / gained["forget"],
        **kept,
        "recall": told["heldout/rougeL_recall"] - said["heldout/rougeL_recall"],
        "distinct_2": told["unseen/distinct_2"],
        "degenerate": told["unseen/degenerate_rate"],
    }


HEADS = {
    "trained": "Invented, trained: nats ↑",
    "unseen": "Invented, unseen: nats ↑",
    "ratio": "Unseen / trained ↑",
    "normal": "Protected: perplexity × ↓",
    "heldout": "Held-out: perplexity × ↓",
    "neighbour": "Right answers: perplexity × ↓",
    "recall": "Held-out: recall, change ↑",
    "distinct_2": "Distinct-2 ↑",
    "degenerate": "Stammering ↓",
}


def table(results: Iterable[Result]) -> str:
    """A row a seed, and their mean."""
    found = [each for each in results if each["application"] == APPLICATION]
    before = next((each["figures"] for each in found if each["method"] == BEFORE), {})
    runs = {r["seed"]: changes(before, r["figures"]) for r in found if r["method"] == AFTER}
    lines = [f"| Seed | {' | '.join(HEADS.values())} |", "|---" * (len(HEADS) + 1) + "|"]
    for seed, run in runs.items():
        lines.append(f"| {seed} | {' | '.join(f'{run[key]:.2f}' for key in HEADS)} |")
    if len(runs) > 1:
        cells = [spread([run[key] for run in runs.values()]) for key in HEADS]
        lines.append(f"| all | {' | '.join(cells)} |")
    return "\n".join(lines)
