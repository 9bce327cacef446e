"""The compared systems and their commands."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

RECIPES = Path(__file__).parents[2] / "recipes"
DATA = "tiny/tofu_power"
BASE, GOLD = DATA, f"{DATA}/gold"
SUITE = (
    f"{{name: tofu, data: {DATA}, split: forget10, neighbour: neighbour_perturbed, "
    "heldout: holdout50, max_new_tokens: 40}"
)
TEMPLATE = ("--template", "Question: {prompt}\nAnswer: {response}")
REQUESTS = (1, 2, 3, 4)
FIELDS = ("--prompt_field", "question", "--response_field", "answer")
_PAPER = re.compile(r"\(([^()]*arXiv [\d.]+)[^()]*\)")

Command = tuple[str, ...]
"""Words after ``unlearnkit``, or a line of ``python``; SEED is the seed, RUN1 the first run."""


@dataclass(frozen=True)
class System:
    """A way to unlearn.

    Args:
        title: Its name.
        recipe: The shipped recipe that it begins with, or whose objectives it takes.
        commands: What makes its model, in their order; none where it is there.
        model: The model that is made.
        paper: Where it is from, if the recipe is another's.
    """

    title: str
    recipe: str
    commands: tuple[Command, ...] = ()
    model: str = "out"
    paper: str = ""

    @property
    def seeded(self) -> bool:
        """Whether a seed has a part in it; else its model is the same for all."""
        return any("SEED" in words for words in self.commands)

    @property
    def source(self) -> str:
        """The paper that the head of the recipe names."""
        if self.paper or not self.recipe:
            return self.paper
        found = _PAPER.search((RECIPES / f"{self.recipe}.yaml").read_text(encoding="utf-8"))
        assert found is not None, self.recipe
        return found[1]

    def lines(self, seed: int) -> list[str]:
        """Its commands as they are typed, with RUN1 and RUN2 for the folders of its runs."""
        typed = [shlex.join(program(words)) for words in self.commands]
        return [line.replace("SEED", str(seed)) for line in typed]

    @property
    def recipes(self) -> list[str]:
        """All shipped recipes that its commands read."""
        named = [words[words.index("--recipe") + 1] for words in self.commands if words[0] == "fit"]
        return sorted({*named, self.recipe} - {""})


def program(words: Command) -> Command:
    """A command with the program that it is of."""
    return words if words[0] == "python" else ("unlearnkit", *words)


def fitted(recipe: str, *more: str) -> Command:
    """A training that leaves evaluation to another command."""
    return ("fit", "--recipe", recipe, "--seed_everything", "SEED", *more, "--evaluate", "[]")


def shipped(title: str, name: str, *more: str) -> System:
    """A recipe that trains on the tiny TOFU."""
    recipe = f"tiny_tofu/{name}"
    return System(title, recipe, (fitted(recipe, *more),), "RUN1")


def with_loss(title: str, method: str, *more: str) -> System:
    """Objectives, rate, adapter and stop of another recipe, in ``tiny_tofu/graddiff``."""
    recipe = f"methods/{method}"
    known = yaml.safe_load((RECIPES / f"{recipe}.yaml").read_text(encoding="utf-8"))
    model = known["model"]
    words = ["--model.objectives", _flow(model["objectives"])]
    words += ["--model.optimizer.lr", str(model["optimizer"]["lr"])]
    if "lora" in model:
        words += ["--model.lora", _flow(model["lora"])]
    if "callbacks" in known["trainer"]:
        words += ["--trainer.callbacks", _flow(known["trainer"]["callbacks"])]
    if "idk" in known["data"]["streams"]:
        words += ["--data.streams.idk", _flow(known["data"]["streams"]["idk"])]
    return System(title, recipe, (fitted("tiny_tofu/graddiff", *words, *more),), "RUN1")


def edited(kind: str, *words: str, out: str = "out") -> Command:
    """An edit of the model that everything begins with."""
    return ("edit", kind, "--base", BASE, *words, "--out", out)


def _lunar(title: str, *words: str) -> System:
    """Block 3, in closed form or trained."""
    layer = ("--layer", "3", *words)
    files = {"forget": "forget10", "retain": "retain40", "refuse": "holdout50"}
    rows = tuple(
        word for kind, name in files.items() for word in (f"--{kind}", f"{DATA}/{name}.jsonl")
    )
    command = edited("lunar", *rows, *layer, *FIELDS, *TEMPLATE)
    return System(title, "", (command,), paper="Shen et al. 2025, arXiv 2502.07218")


_QUESTION = (*FIELDS, "--template", "Question: {prompt}\nAnswer: {response}")
_FORGET = f"{DATA}/forget10.jsonl"
_ECO = ("--forget", _FORGET, "--retain", f"{DATA}/retain40.jsonl", *_QUESTION)


def _request(number: int, *words: str) -> Command:
    """The training of a request's adapter, orthogonal to those before it."""
    if number == 1:
        return fitted("edits/o3", *words)
    before = ", ".join(f"RUN{n}/model" for n in range(1, number))
    return fitted("edits/o3", *words, "--data.streams.forget.path",
                  f"{DATA}/request{number}.jsonl",
                  "--model.objectives.orthogonal.previous", f"[{before}]")  # fmt: skip


def _each(option: str, name: str) -> tuple[str, ...]:
    """An option that is given once for each request."""
    first, *others = (f"{name}{number}" for number in REQUESTS)
    return (option, first, *(word for each in others for word in (f"{option}+", each)))


def _encoder(number: int) -> Command:
    """The training of a request's own encoder, the best checkpoint of which is kept."""
    return edited("o3_encoder", "--encoder", "mlm", "--adapter", f"RUN{number}",
                  "--layers", "5", "--seed", "SEED", "--heldout", "0.2",
                  "--others", f"{DATA}/retain40.jsonl", "--choose_by", "published",
                  *FIELDS, *TEMPLATE, out=f"ENC{number}")  # fmt: skip


def _flow(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10_000).strip()


def _whp(title: str, dictionary: str, alpha: str) -> System:
    """Finetuning on the generic labels that a dictionary gives."""
    labels = edited("whp_labels", "--reinforced", "RUN1", "--alpha", alpha,
                    "--dictionary", f"{DATA}/{dictionary}.jsonl", out="labels")  # fmt: skip
    trained = fitted("edits/whp", "--model.objectives.forget.path", "labels/labels.jsonl")
    return System(title, "edits/whp", (_REINFORCE, labels, trained), "RUN2")


_REINFORCE = fitted("edits/reinforce")
SYSTEMS = {
    "before": System("before unlearning", "", model=BASE),
    "gold": System("gold: never saw the authors", "", model=GOLD),
    "gradient_ascent": with_loss("Gradient ascent, to a ceiling", "gradient_ascent"),
    "gradient_ascent_whole": shipped(
        "Gradient ascent, to the published end", "gradient_ascent"
    ),
    "graddiff": shipped("GradDiff", "graddiff"),
    "kl_ga": with_loss("KL minimisation", "kl_ga"),
    "llmu": shipped("Ascent, random answers, divergence", "llmu"),
    "npo": shipped("NPO, retain term", "npo"),
    "npo_kl": with_loss("NPO, KL term", "npo_kl"),
    "simnpo": shipped("SimNPO", "simnpo"),
    "idk": with_loss("IDK", "idk"),
    "idk_dpo": shipped("IDK by DPO", "idk_dpo"),
    "altpo": shipped("AltPO", "altpo"),
    "d2o": shipped("D2O, retain term", "d2o"),
    "d2o_whole": shipped("D2O", "d2o", "--terms", "published"),
    "safe_unlearning": shipped("Safe Unlearning, first 5 samples", "safe_unlearning"),
    "safe_unlearning_whole": shipped(
        "Safe Unlearning", "safe_unlearning", "--samples", "whole"
    ),
    "flat": with_loss("FLAT", "flat"),
    "undial": with_loss("UNDIAL", "undial"),
    "wga": with_loss("WGA", "wga"),
    "satimp": with_loss("SatImp", "satimp"),
    "ceu": with_loss("CE-U", "ceu"),
    "unlikelihood": with_loss("Unlikelihood", "unlikelihood"),
    # 5 epochs as published, of the 15 that there are.
    "pdu": with_loss("PDU", "pdu", "--model.objectives.forget.dual_warmup", "20"),
    "rmu": shipped("RMU, all weights", "rmu"),
    "rmu_whole": shipped(
        "RMU", "rmu", "--model.trainable", r"model\.layers\.[012]\.mlp\.down_proj",
        "--model.objectives.forget.steering", "6.5",
        "--model.objectives.retain.weight", "1200", "--model.optimizer.lr", "2.0e-2",
    ),
    "salun": shipped("SalUn, NPO on half of the weights", "salun"),
    "ihl": with_loss("IHL, LoRA", "ihl"),
    "pissa": shipped("IHL, PiSSA", "pissa"),
    "fila": shipped("IHL, FILA (LoKU)", "fila"),
    "negate": System(
        "Task arithmetic, scale 1", "edits/reinforce",
        (_REINFORCE, edited("negate", "--tuned", "RUN1", "--scale", "1")),
    ),
    "sku": System(
        "SKU, scale 0.6", "edits/sku_stage1",
        (fitted("edits/sku_stage1"),
         edited("negate", "--tuned", "RUN1", "--scale", "0.6")),
    ),
    "sku_whole": System(
        "SKU", "edits/sku_stage1",
        (fitted("edits/sku_stage1", "--trainer.callbacks", "[]", "--model.optimizer.lr", "2.0e-4"),
         edited("negate", "--tuned", "RUN1", "--scale", "1")),
    ),
    "offset": System(
        "delta-unlearning, NPO", "edits/offset", (fitted("edits/offset"),), "RUN1"
    ),
    "uld": System(
        "ULD without augmentation", "edits/uld_assistant",
        (fitted("edits/uld_assistant"), edited("uld", "--assistant", "RUN1")),
    ),
    "uld_whole": System(
        "ULD", "edits/uld_assistant",
        (fitted("edits/uld_assistant", "--augmentation", "whole"),
         edited("uld", "--assistant", "RUN1")),
    ),
    "whp": System(
        "Who's Harry Potter, its prediction", "edits/reinforce",
        (_REINFORCE, edited("whp", "--reinforced", "RUN1", "--alpha", "2")),
        paper="Eldan and Russinovich 2023, arXiv 2310.02238",
    ),
    "whp_script": _whp("Who's Harry Potter, a script's dictionary", "forget10_anchors", "2"),
    "whp_whole": _whp("Who's Harry Potter", "forget10_drawn", "5"),
    "lunar": _lunar(
        "LUNAR, closed form, block 3, c 4", "--coefficient", "4", "--responses", "true"
    ),
    "lunar_whole": _lunar("LUNAR, block 3", "--epochs", "20"),
    "o3": System(
        "O3, refusals, the base's states by cosine", "edits/o3",
        (*map(_request, REQUESTS), edited("o3", *_each("--adapter", "RUN"))),
    ),
    "o3_whole": System(
        "O3", "edits/o3",
        (*(_request(number, "--labels", "random") for number in REQUESTS),
         ("python", "-m", "tools.tiny.power.encoder", "mlm", "--seed", "SEED"),
         *map(_encoder, REQUESTS),
         edited("o3", *_each("--adapter", "RUN"), *_each("--encoder", "ENC"), "--layers", "5",
                "--score", "o3", "--gate", "scienceqa", "--heldout", "0.2", "--seed", "SEED")),
    ),
    # The strength is one of the published ones.
    "eco": System(
        "ECO, regression, strength 50", "",
        (edited("eco", *_ECO, "--strength", "50"),),
        paper="Liu et al. 2024, arXiv 2406.07933",
    ),
    "eco_whole": System(
        "ECO", "",
        (edited("eco_classifier", "--encoder", BASE, *_ECO, "--lr", "1e-3", "--every", "50",
                "--seed", "SEED", out="classifier"),
         edited("eco_tokens", "--encoder", BASE, "--rows", f"{DATA}/retain90.jsonl", "--terms",
                f"{DATA}/retain90_terms.jsonl", *_QUESTION, "--epochs", "10", "--lr", "1e-3",
                "--seed", "SEED", out="names"),
         edited("eco", *_ECO, "--classifier", "classifier", "--tokens", "names",
                "--search", _FORGET, "--metric", "rougeL", "--strength", "3",
                "--surrogate_rows", f"{DATA}/holdout50.jsonl")),
        paper="Liu et al. 2024, arXiv 2406.07933",
    ),
    "erase": System(
        "ERASE, 3 rows in context", "",
        (("edit", "erase", "--base", GOLD, "--examples", f"{DATA}/full.jsonl", "--k", "3",
          "--seed", "SEED", *FIELDS, "--out", "made"),
         ("edit", "delete", "--model", "made", "--forget", f"{DATA}/forget10.jsonl",
          *FIELDS, "--out", "out")),
        paper="Muresanu et al. 2024, arXiv 2402.00751",
    ),
}  # fmt: skip
