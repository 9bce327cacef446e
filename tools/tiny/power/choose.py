"""Chooses settings on other authors: ``python -m tools.tiny.power.choose RECIPE [KEY=A,B ...]``.

Trains a recipe of the tiny TOFU once for each combination of the values given, on four authors of
`forget50` that the recipes do not report, with a seed of its own, and asks in the third wording.
Neighbours are four further authors. Recipes that are edited afterwards name the edit:
``edit=negate edit.scale=0.5,1``.
"""

from __future__ import annotations

import itertools
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml

from unlearnkit.callbacks.collapse_stop import TrainingDiverged
from unlearnkit.cli.recipe.build import RecipeCLI
from unlearnkit.cli.recipe.document import read
from unlearnkit.cli.recipe.overrides import Override
from unlearnkit.cli.recipe.shipped import find
from unlearnkit.cli.tuning import quiet
from unlearnkit.edits import Negate, Uld, Whp
from unlearnkit.families import path_of
from unlearnkit.models.base import load_tokenizer
from unlearnkit.models.load import load_model
from unlearnkit.runs import fit
from unlearnkit.suites import SuiteContext, Tofu

SOURCE = Path(__file__).parents[3] / "unlearnkit" / "tiny" / "tofu_power"
BASE = "tiny/tofu_power"
SEED = 1
FORGOTTEN = {"author05", "author06", "author07", "author08"}
NEIGHBOURS = {"author09", "author10", "author11", "author12"}
SHOWN = ("forget/exact_memorization", "forget/rougeL_recall", "forget/ks_distance",
         "retain/rougeL_recall", "neighbour/rougeL_recall", "real_authors/rougeL_recall",
         "world_facts/rougeL_recall", "utility/model_utility")  # fmt: skip
EDITS = {"negate": lambda run, own: Negate(BASE, [run], **own),
         "whp": lambda run, own: Whp(BASE, run, **own),
         "uld": lambda run, own: Uld(BASE, run, **own)}  # fmt: skip

Rows = list[dict[str, Any]]


def rows_of(file: str, authors: set[str]) -> Rows:
    """Rows of some authors."""
    lines = (SOURCE / f"{file}.jsonl").read_text(encoding="utf-8").splitlines()
    rows: Rows = [json.loads(line) for line in lines]
    return [row for row in rows if row["id"].partition("/")[0] in authors]


def write_choosing(folder: Path) -> None:
    """Writes the rows to forget, and the tables that the suite reads."""
    found = {
        "forget10": rows_of("forget50", FORGOTTEN),
        "forget10_perturbed": rows_of("forget50_choosing_perturbed", FORGOTTEN),
        "neighbour_perturbed": rows_of("forget50_perturbed", NEIGHBOURS),
    }
    for file, every in (("retain_perturbed", 4), ("real_authors_perturbed", 2),
                        ("world_facts_perturbed", 2)):  # fmt: skip
        lines = (SOURCE / f"{file}.jsonl").read_text(encoding="utf-8").splitlines()
        found[file] = [json.loads(line) for line in lines[::every]]
    for file, rows in found.items():
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{file}.jsonl").write_text(text, encoding="utf-8")


def made(recipe: str, settings: Mapping[str, Any], folder: Path) -> Any:
    """The model of a trial; None if training diverged."""
    edit = settings.get("edit")
    own = {key.removeprefix("edit."): value for key, value in settings.items() if "edit." in key}
    chosen = {key: value for key, value in settings.items() if not key.startswith("edit")}
    chosen |= {"data.streams.forget.path": str(folder.parent / "forget10.jsonl"),
               "seed_everything": SEED, "evaluate": [], "trainer.accelerator": "cpu",
               "trainer.enable_progress_bar": False}  # fmt: skip
    document = read([find(recipe)])
    cli = RecipeCLI(document, [Override(path_of(key), value) for key, value in chosen.items()])
    run = folder / "run"
    try:
        fit(cli.model, cli.datamodule, cli.trainer, recipe_name=recipe, seed=SEED, folder=run,
            recipe_text=cli.recipe_text)  # fmt: skip
    except TrainingDiverged:
        return None
    place = run if edit is None else EDITS[edit](str(run), own).write(folder / "edited")
    return load_model(str(place))


def trials(words: Sequence[str]) -> list[dict[str, Any]]:
    """All combinations of the values that the words name."""
    named = [word.partition("=")[::2] for word in words]
    values = [[yaml.safe_load(each) for each in text.split(",")] for _, text in named]
    return [dict(zip((key for key, _ in named), each, strict=True))
            for each in itertools.product(*values)]  # fmt: skip


def main() -> None:
    """Prints a line a trial, after those of the models before unlearning and gold."""
    recipe, *words = sys.argv[1:]
    quiet()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_choosing(folder)
        tokenizer = load_tokenizer(BASE)
        context = SuiteContext(gold=load_model(f"{BASE}/gold"), kept={})
        suite = Tofu(str(folder), "forget10", neighbour="neighbour_perturbed", max_new_tokens=24)

        def show(name: str, model: Any) -> None:
            values = {} if model is None else suite.run(model, tokenizer, context).values
            known = " ".join(f"{values[key]:.3f}" for key in SHOWN) if values else "diverged"
            print(f"{known}  {name}", flush=True)

        print(" ".join(key.split("/")[0][:6] for key in SHOWN))
        show("before", load_model(BASE))
        show("gold", context.gold)
        for number, settings in enumerate(trials(words)):
            trial = folder / str(number)
            trial.mkdir()
            show(f"{recipe} {settings}", made(recipe, settings, trial))


if __name__ == "__main__":
    main()
