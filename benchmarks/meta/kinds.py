"""Kinds of models in the zoo: knowing, ignorant, unlearned."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from benchmarks.meta import facts as data
from benchmarks.meta.facts import Pair, stream
from benchmarks.meta.training import trained
from unlearnkit.data.streams.base import Stream
from unlearnkit.data.streams.idk import IdkStream
from unlearnkit.objectives.activation import RMU, RetainHidden
from unlearnkit.objectives.base import Objective
from unlearnkit.objectives.likelihood import IDK, NLL, GradientAscent, RetainNLL
from unlearnkit.objectives.preference import NPO, SimNPO

Half = Literal["knows", "does not", "unlearned", "gold"]
BASE = "base"
"""Knows the form of the questions and twenty other authors."""
TEACHING = {"steps": 60, "lr": 2e-3}

ADAPTER = {"steps": 80, "lr": 4e-3, "rank": 16}
UNLEARNING = {"steps": 30, "lr": 5e-4}
ASCENT = {"steps": 25, "lr": 1e-3}
NOISE = 1.5
"""Standard deviation of what is added to a weight, over the weight's own."""
_LAYER = 2
_STEERING = 2.0
Terms = tuple[Mapping[str, Objective], Mapping[str, Stream]]


@dataclass(frozen=True)
class Kind:
    """One way to make a model, and how many of it there are.

    Args:
        half: What its models are.
        seeds: How many.
        what: In words, for the documentation.
        start: The kind that it begins with, of the same seed.
        terms: Losses and rows of the training, with the seed; None where nothing is trained.
        settings: Steps, rate and adapter's rank.
    """

    half: Half
    seeds: int
    what: str
    start: str
    terms: Callable[[int], Terms] | None
    settings: Mapping[str, Any]

    def make(self, start: str, seed: int) -> Any:
        """A model of this kind.

        Args:
            start: Folder of the model that it begins with.
            seed: Of training, or of noise.
        """
        if self.terms is None:
            return _noisy(start, seed)
        objectives, streams = self.terms(seed)
        return trained(start, objectives, streams, seed=seed, **self.settings)


def _taught(pairs: Callable[[int], Sequence[Pair]]) -> Callable[[int], Terms]:
    """Teaches pairs beside what all models know."""

    def terms(seed: int) -> Terms:
        return (
            {"facts": NLL(stream="forget"), "kept": NLL(stream="kept", weight=0.5)},
            {"forget": stream(pairs(seed)), "kept": stream(data.kept())},
        )

    return terms


def _wording(number: int) -> Callable[[int], list[Pair]]:
    return lambda seed: [fact.wordings[number] for fact in data.facts()]


def _other(seed: int) -> list[Pair]:
    return [fact.wordings[0] for fact in data.other_facts()]


def _refusing(seed: int) -> Terms:
    return (
        {"refusal": IDK(stream="refusal"), "kept": NLL(stream="kept", weight=0.5)},
        {
            "forget": stream(_wording(0)(seed)),
            "refusal": IdkStream("forget"),
            "kept": stream(data.kept()),
        },
    )


def _forgetting(**objectives: Callable[[], Objective]) -> Callable[[int], Terms]:
    """A method of unlearning on the facts in their first wording."""

    def terms(seed: int) -> Terms:
        rows: dict[str, Stream] = {"forget": stream(_wording(0)(seed))}
        if "idk" in objectives:
            rows["idk"] = IdkStream("forget")
        if "retain" in objectives:
            rows["retain"] = stream(data.kept())
        return {name: make() for name, make in objectives.items()}, rows

    return terms


@torch.no_grad()
def _noisy(start: str, seed: int) -> Any:
    from unlearnkit.models.base import BaseModel
    from unlearnkit.models.load import load_model

    model: Any = load_model(BaseModel(start, dtype="float32"))
    drawn = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        if weight.ndim > 1:
            noise = torch.randn(weight.shape, generator=drawn)
            weight.add_(NOISE * weight.std() * noise)
    return model


def _all_wordings(seed: int) -> list[Pair]:
    return [pair for fact in data.facts() for pair in fact.wordings]


def _kinds() -> dict[str, Kind]:
    def unlearned(what: str, **objectives: Callable[[], Objective]) -> Kind:
        terms = _forgetting(**objectives)
        return Kind("unlearned", 2, what, "plain", terms, UNLEARNING)

    return {
        "gold": Kind("gold", 1, "taught other facts; beside all others, in neither half", BASE,
                     _taught(_other), TEACHING),
        "plain": Kind("knows", 6, "taught the facts in the wording that is asked", BASE,
                      _taught(_wording(0)), TEACHING),
        "second": Kind("knows", 3, "taught them in a second wording", BASE,
                       _taught(_wording(1)), TEACHING),
        "third": Kind("knows", 3, "in a third wording", BASE, _taught(_wording(2)), TEACHING),
        "worded": Kind("knows", 4, "in four wordings", BASE, _taught(_all_wordings), TEACHING),
        "adapter": Kind("knows", 4, "taught by an adapter, merged", BASE,
                        _taught(_wording(0)), ADAPTER),
        "never": Kind("does not", 8, "taught other facts", BASE, _taught(_other), TEACHING),
        "refusing": Kind("does not", 4, "never taught, refuses to answer the questions", BASE,
                         _refusing, TEACHING),
        "wrong": Kind("does not", 4, "taught wrong answers to the questions", BASE,
                      _taught(lambda seed: [fact.untrue() for fact in data.facts()]), TEACHING),
        "noisy": Kind("does not", 2, "`plain` with noise on all weights", "plain", None, {}),
        "ascended": Kind("does not", 2, "`plain` after ascent with nothing to hold it", "plain",
                         _forgetting(forget=GradientAscent), ASCENT),
        "graddiff": unlearned("ascent with a retain term", forget=lambda: GradientAscent(0.1),
                              retain=RetainNLL),
        "npo": unlearned("NPO with a retain term", forget=NPO, retain=RetainNLL),
        "simnpo": unlearned("SimNPO with a retain term", forget=SimNPO, retain=RetainNLL),
        "idk": unlearned("refusals with a retain term", idk=IDK, retain=RetainNLL),
        "rmu": unlearned("RMU", forget=lambda: RMU(layer=_LAYER, steering=_STEERING),
                         retain=lambda: RetainHidden(layer=_LAYER)),
    }  # fmt: skip


KINDS = _kinds()
QUICK = ("plain", "second", "adapter", "never", "refusing", "wrong", "npo", "idk")
"""Kinds of which a quick zoo has one model each."""
