"""Trains base, gold and taught models, each once."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning as L

from benchmarks.real.methods import Layer, objectives
from unlearnkit.cli.recipe.build import RecipeCLI
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.shipped import shipped
from unlearnkit.edits import Negate
from unlearnkit.models.base import BaseModel, load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.runs.export import save_model

QUIET = {
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "accelerator": "cpu",
}


def built(recipe: str, base: Path, seed: int, layers: list[Layer]) -> RecipeCLI:
    """The objects of a shipped recipe with layers over it, its model loaded."""
    document = read([shipped()[recipe]])
    tree = document.tree
    for layer in ({"trainer": QUIET, "seed_everything": seed}, *layers):
        _lay(tree, layer)
    # A model that is trained whole needs its own dtype; the layer says so.
    tree["model"]["base"] = {"dtype": "bfloat16", **_mapping(tree["model"]["base"])} | {
        "path": str(base)
    }
    cli = RecipeCLI(document)
    L.seed_everything(seed, workers=True, verbose=False)
    cli.model.configure_model()
    return cli


def trained(recipe: str, base: Path, seed: int, layers: list[Layer]) -> RecipeCLI:
    """The same, after its training."""
    cli = built(recipe, base, seed, layers)
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    return cli


class Models:
    """Starting models below a folder, made when they are first asked for.

    Args:
        folder: Where they are kept.
        base: What ``smollm2`` stands for; another model in tests.
        layers: Laid over every teaching recipe; short trainings in tests.
    """

    def __init__(self, folder: Path, base: str = "smollm2", layers: list[Layer] | None = None):
        self.folder, self.name, self.layers = folder, base, layers or []

    def base(self) -> Path:
        """The base as bfloat16 safetensors, which load in a moment; GGUF takes 15 s."""
        target = self.folder / "base"
        if not target.is_dir():
            model = load_model(BaseModel(self.name, dtype="bfloat16"))
            save_model(model, load_tokenizer(self.name), target)
        return target

    def gold(self, seed: int) -> Path:
        """The base that was taught all that is to be kept."""
        return self._taught(f"gold-{seed}", "smollm2/gold", self.base, seed)

    def taught(self, application: str, seed: int) -> Path:
        """The gold model that was taught what is to be forgotten."""
        name = f"{application}-{seed}"
        return self._taught(name, f"smollm2/teach_{application}", lambda: self.gold(seed), seed)

    def reinforced(self, application: str, seed: int) -> Path:
        """The taught model that went on to learn what is to be forgotten, for a task vector."""
        start = self.taught(application, seed)
        layers = [objectives(forget={"name": "nll"})]
        name = f"{application}-{seed}-reinforced"
        return self._taught(name, f"smollm2/{application}", lambda: start, seed, layers)

    def negated(self, application: str, seed: int, scale: float) -> Path:
        """The taught model less the task vector of the reinforced one."""
        target = self.folder / f"{application}-{seed}-negated-{scale:g}"
        if not target.is_dir():
            tuned = BaseModel(str(self.reinforced(application, seed)), dtype="auto")
            base = BaseModel(str(self.taught(application, seed)), dtype="auto")
            Negate(base, [tuned], scale).write(target)
        return target

    def _taught(
        self, name: str, recipe: str, base: Any, seed: int, layers: Sequence[Layer] = ()
    ) -> Path:
        target = self.folder / name
        if not target.is_dir():
            print(f"teaching {name}", flush=True)
            cli = trained(recipe, base(), seed, [*self.layers, *layers])
            merged = cli.model.policy.merge_and_unload()  # pyright: ignore
            save_model(merged, cli.datamodule.tokenizer, target)
            del cli, merged
            gc.collect()  # a trainer and its module hold each other
        return target


def _lay(tree: dict[str, Any], layer: Layer) -> None:
    """Lays a layer over a recipe: sections are merged, what is below them is replaced.

    ``streams`` are merged too, since a variant adds one to those that the suite reads.
    """
    for section, value in layer.items():
        if not isinstance(value, dict):
            tree[section] = value
            continue
        below = tree.setdefault(section, {})
        for key, each in value.items():
            if key == "streams":
                below.setdefault(key, {}).update(each)
            elif key == "base":
                below[key] = {**_mapping(below[key]), **each}
            else:
                below[key] = each


def _mapping(base: Any) -> dict[str, Any]:
    return dict(base) if isinstance(base, dict) else {"path": base}
