"""One run: train, evaluate, and write down what was found."""

from __future__ import annotations

import gc
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from benchmarks.real.figures import columns
from benchmarks.real.methods import Layer
from benchmarks.real.training import Models, built, trained
from benchmarks.stored import Results
from unlearnkit.models.base import BaseModel
from unlearnkit.models.load import load_model
from unlearnkit.runs.facts import peak_memory_mb
from unlearnkit.runs.trainer import stopped_by
from unlearnkit.suites.base import SuiteContext


class Bench:
    """All runs of one application and seed, which start from one taught model.

    Args:
        application: ``copyright``, ``harmful`` or ``hallucination``.
        seed: Of teaching and of unlearning.
        models: Where starting models are.
        results: The results.
        layers: Laid over the recipe below a method's own; short trainings in tests.
        stored: What the results are stored under; by default the application.
    """

    def __init__(
        self,
        application: str,
        seed: int,
        models: Models,
        results: Results,
        layers: list[Layer] | None = None,
        stored: str | None = None,
    ) -> None:
        self.application, self.seed = application, seed
        self.stored = stored or application
        self.models, self.results, self.layers = models, results, layers or []
        self._reference: Any = None

    def read(self, name: str) -> dict[str, Any] | None:
        """The result of a method, or None."""
        return self.results.get(self.stored, name, self.seed)

    def run(self, name: str, layer: Layer, recipe: str | None = None) -> None:
        """Trains a method and measures it, unless that was done.

        Args:
            name: What the result is called.
            layer: Laid over the recipe.
            recipe: One of ``smollm2/``; by default the application's.
        """
        if self.read(name) is not None:
            return
        started = time.monotonic()
        start = self.models.taught(self.application, self.seed)
        recipe = f"smollm2/{recipe or self.application}"
        cli = trained(recipe, start, self.seed, [*self.layers, layer])
        took = time.monotonic() - started
        facts = {
            "layer": layer,
            "steps": cli.trainer.global_step,
            "stopped_by": stopped_by(cli.trainer),
            "train_seconds": round(took, 1),
        }
        policy: Any = cli.model.policy
        # What is put to use; and an adapter beside the weights makes generation slow.
        model = policy.merge_and_unload() if cli.model.lora else policy.to(torch.bfloat16)
        self._write(name, cli, model, facts)
        del cli, policy, model
        gc.collect()  # a trainer and its module hold each other

    def measure(self, name: str, model: Path) -> None:
        """Measures a model on disk, unless that was done."""
        if self.read(name) is None:
            cli = built(f"smollm2/{self.application}", model, self.seed, self.layers)
            self._write(name, cli, load_model(BaseModel(str(model), dtype="auto")), {})

    def _write(self, name: str, cli: Any, model: Any, facts: dict[str, Any]) -> None:
        cli.datamodule.check()
        if self._reference is None:
            start = self.models.taught(self.application, self.seed)
            self._reference = load_model(BaseModel(str(start), dtype="auto"))
        context = SuiteContext(
            data=cli.datamodule.data, reference=self._reference, seed=self.seed, batch_size=20
        )
        (suite,) = cli.suites
        found = suite.run(model, cli.datamodule.tokenizer, context)
        answers = [
            {key: row[key] for key in ("stream", "prompt", "generated")}
            for row in found.rows
            if row["stream"] not in ("normal", "heldout")
        ]
        result = {
            "application": self.stored,
            "method": name,
            "seed": self.seed,
            **facts,
            "columns": columns(self.application, found.values, found.rows),
            "figures": found.values,
            "answers": answers,
            "peak_memory_mb": peak_memory_mb(),
            "versions": {each: version(each) for each in ("torch", "transformers", "peft")},
            "threads": torch.get_num_threads(),
        }
        self.results.put(result)
        shown_columns = "  ".join(f"{k} {v:.3f}" for k, v in result["columns"].items())
        print(f"{self.stored} {name} {self.seed}: {shown_columns}", facts, flush=True)
