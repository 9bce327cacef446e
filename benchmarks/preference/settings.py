"""Settings of the comparison: model, adapter, amount of data, rates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_RESULTS = Path(__file__).parents[1] / "results"


@dataclass(frozen=True)
class Course:
    """Learning rates that are tried, and the most steps of a run."""

    rates: tuple[float, ...]
    steps: int


@dataclass(frozen=True)
class Setting:
    """A model with all that is chosen for it.

    Args:
        base: The model before it is taught.
        results: File of the lines.
        courses: By method; ``reward`` is the reward model.
        seeds: That are reported by default.
        adapter: Rank of an adapter on all linear layers that is taught and then merged, and of
            the new one that each method and the reward model train; None trains all weights.
        pad: Padding token in place of the tokenizer's own, which a reward model must be able to
            tell from the end of an answer.
        verbs: How many questions on a thing are answered rudely.
        questions: How many on a thing are answered plainly.
        teaching: Epochs over the mixture of rude and polite answers.
        longest: New tokens of an answer, in all looks and for all methods that sample.
        generations: Sampled answers to a prompt, for each step of RLOO and GRPO.
        margin: Least mean difference of rewards of unseen pairs at which the reward model is done;
            RLOO weighs rewards as they are against its KL term.
        weights: Of LLMU's ascent, random answers and KL, as in the recipe for the model.
    """

    base: str
    results: Path
    courses: Mapping[str, Course]
    seeds: int
    adapter: int | None = None
    pad: str | None = None
    verbs: int = 6
    questions: int = 4
    teaching: int = 10
    longest: int = 32
    generations: int = 8
    margin: float = 0.0
    weights: tuple[float, float, float] = (0.2, 1.0, 16.0)

    def lora(self, task: Literal["CAUSAL_LM", "SEQ_CLS"] = "CAUSAL_LM") -> Any:
        """The adapter's form, made anew since PEFT writes into it; None for all weights."""
        from peft import LoraConfig

        if self.adapter is None:
            return None
        return LoraConfig(
            r=self.adapter,
            lora_alpha=2 * self.adapter,
            target_modules="all-linear",
            task_type=task,
            modules_to_save=["score"] if task == "SEQ_CLS" else None,
        )


_RATES = (1e-4, 2e-4, 5e-4, 1e-3, 2e-3)
TINY = Setting(
    base="tiny",
    results=_RESULTS / "preference.jsonl",
    courses={
        "llmu": Course(_RATES, 60),
        "sft": Course(_RATES, 60),
        "dpo": Course(_RATES, 60),
        "rloo": Course(_RATES[1:4], 40),
        "grpo": Course(_RATES[1:4], 40),
        "reward": Course((1e-4, 3e-4, 1e-3), 40),
    },
    seeds=3,
)
_SMALL = (3e-4, 1e-3)
SMOLLM2 = Setting(
    base="smollm2",
    results=_RESULTS / "preference_smollm2.jsonl",
    courses={
        "llmu": Course(_SMALL, 24),
        "sft": Course(_SMALL, 24),
        "dpo": Course(_SMALL, 24),
        "rloo": Course(_SMALL[:1], 24),
        "grpo": Course(_SMALL[:1], 24),
        "reward": Course(_SMALL, 16),
    },
    seeds=1,
    adapter=16,
    pad="<|endoftext|>",
    verbs=3,
    questions=2,
    teaching=3,
    longest=20,
    generations=4,
    margin=2.0,
    weights=(0.5, 1.0, 8.0),
)
SETTINGS: Mapping[str, Setting] = {"tiny": TINY, "smollm2": SMOLLM2}
