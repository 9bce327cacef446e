"""The compared methods, each a shipped recipe laid over the shared one."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unlearnkit.cli.recipe.document import Document, read
from unlearnkit.cli.recipe.methods import default_space
from unlearnkit.cli.recipe.overrides import Override, apply
from unlearnkit.cli.recipe.shipped import shipped, summary

SHARED = Path(__file__).parent / "recipe.yaml"
_LR, _LORA_LR = {"log": [5e-5, 1e-3]}, {"log": [3e-4, 5e-3]}
# So many steps take a model apart unless what keeps it weighs far more than what forgets.
_KEEPING = {"log": [0.3, 30.0]}
_PAPER = re.compile(r"\(([^()]*arXiv [\d.]+)[^()]*\)")
# What the shared recipe decides, whatever the method is.
_KEPT = frozenset({"base", "optimizer", "schedule", "warmup", "compile"})


@dataclass(frozen=True)
class Method:
    """A way to unlearn.

    Args:
        title: Its name.
        recipe: The shipped recipe whose objectives it takes; empty where nothing is trained.
        edit: What is made of the trained model; empty where that is the result.
        options: Of the edit, or of the recipe where they begin with a section, as shipped.
        search: Their ranges.
        paper: Where it is from, if the recipe's first line does not say it.
    """

    title: str
    recipe: str
    edit: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    search: Mapping[str, Any] = field(default_factory=dict)
    paper: str = ""

    @property
    def source(self) -> str:
        """The paper that the head of the recipe names."""
        if self.paper:
            return self.paper
        found = _PAPER.search(summary(shipped()[self.recipe]))
        return found[1] if found else ""

    def laid(self) -> list[Override]:
        """The recipe's objectives and streams, over the shared recipe."""
        if not self.recipe:
            return []
        tree = read([shipped()[self.recipe]]).tree
        streams = {
            name: stream
            for name, stream in tree["data"]["streams"].items()
            if name not in ("forget", "retain")
        }
        made = [
            Override(("model", key), value)
            for key, value in tree["model"].items()
            if key not in _KEPT
        ]
        if "lora" in tree["model"]:
            made.append(Override(("model", "optimizer", "lr"), tree["model"]["optimizer"]["lr"]))
        if "retain" not in tree["data"]["streams"]:
            made.append(Override(("data", "streams", "retain"), None))
        made += [Override(("data", "streams", name), each) for name, each in streams.items()]
        return made + [
            Override(tuple(name.split(".")), value)
            for name, value in self.options.items()
            if not name.startswith("edit.")
        ]

    def document(self) -> Document:
        """The recipe with the method in it."""
        document = read([SHARED])
        apply(document, self.laid())
        streams = document.tree["data"]["streams"]
        if streams.get("retain", ...) is None:
            del streams["retain"]
        return document

    def space(self) -> dict[str, Any]:
        """Ranges of its settings, as the search reads them: its objectives' own, and lr."""
        if not self.recipe:
            return dict(self.search)
        tree = self.document().tree
        lr = _LORA_LR if "lora" in tree["model"] else _LR
        found = default_space({**tree, "tune": {"search": {"model.optimizer.lr": lr}}})
        del found["trainer.max_steps"]  # as many passes over the forget rows for all
        for name in tree["model"]["objectives"]:
            if (key := f"model.objectives.{name}.weight") in found and "retain" in name:
                found[key] = _KEEPING
        return found | dict(self.search)


def _plain(*names: str) -> dict[str, Method]:
    return {name: Method(_title(f"methods/{name}"), f"methods/{name}") for name in names}


def _title(recipe: str) -> str:
    head = summary(shipped()[recipe])
    return re.split(r" \(|:", head, maxsplit=1)[0]


# The parts that are trained, as their recipes have them.
_HALF = {"path": "tiny/tofu_power", "first_blocks": 2}
_OFFSET = {
    "path": "tiny/tofu_power",
    "offset": {"small": "tiny/tofu_power", "first_blocks": 2, "alpha": 1.0},
}
_SCALE = {"edit.scale": {"log": [0.2, 3.0]}}
METHODS: dict[str, Method] = {
    **_plain(
        "npo_rt", "simnpo", "graddiff", "gradient_ascent", "kl_ga", "ceu", "flat", "idk",
        "dpo_idk", "undial", "wga", "satimp", "unlikelihood", "pdu", "rmu", "ihl", "npo_kl",
        "llmu", "jensun", "unilogit", "me_gd", "adaptive_rmu", "idk_ap", "safe_unlearning",
    ),
    "negate": Method(
        "Task arithmetic", "edits/reinforce", "negate", {"edit.scale": 1.0}, _SCALE,
        "Ilharco et al. 2023, arXiv 2212.04089",
    ),
    "whp": Method(
        "Who's Harry Potter", "edits/reinforce", "whp", {"edit.alpha": 5.0},
        {"edit.alpha": {"log": [0.3, 10.0]}}, "Eldan and Russinovich 2023, arXiv 2310.02238",
    ),
    "sku": Method(
        "SKU", "edits/sku_stage1", "negate", {"edit.scale": 1.0}, _SCALE,
        "Liu et al. 2024, arXiv 2402.10058",
    ),
    **_plain("npo", "npo_sam", "npo_lat", "gru", "ilu"),
    # Few neurons at a rate that would take a whole model apart; plain steps of gradient descent.
    "npo_sure": Method(
        "NPO with SURE", "methods/npo_sure", options={"model.optimizer.lr": 3e-3},
        search={"model.optimizer.lr": {"log": [5e-4, 1e-2]}},
    ),
    "rep_select": Method(
        "RepSelect", "methods/rep_select",
        options={"model.optimizer": {"name": "SGD", "lr": 0.05}},
        search={"model.optimizer.lr": {"log": [5e-3, 0.5]}},
    ),
    "tar": Method(
        "TAR", "methods/tar", search={"model.robust.rate": {"log": [1e-4, 3e-3]}},
    ),
    "uld": Method(
        "ULD", "edits/uld_assistant", "uld", {"model.base": _HALF, "edit.weight": -0.8},
        {"edit.weight": {"uniform": [-2.0, -0.3]}},
    ),
    "fila": Method("IHL with FILA (LoKU)", "tiny_tofu/fila"),
    "pissa": Method("IHL with PiSSA", "tiny_tofu/pissa"),
    "salun": Method("SalUn, NPO on half of the weights", "tiny_tofu/salun"),
    "altpo": Method("AltPO", "tiny_tofu/altpo"),
    "d2o": Method("D2O", "tiny_tofu/d2o"),
    "offset": Method("delta-unlearning", "edits/offset", options={"model.base": _OFFSET}),
    "lunar": Method(
        "LUNAR, closed form", "", "lunar", {"edit.layer": 3, "edit.coefficient": 2.0},
        {"edit.layer": {"int": [0, 3]}, "edit.coefficient": {"log": [0.5, 8.0]},
         "edit.retain_weight": {"log": [0.3, 30.0]}},
        "Shen et al. 2025, arXiv 2502.07218",
    ),
}  # fmt: skip
"""By name, in the order in which they are tried."""
