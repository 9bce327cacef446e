"""ECO: a classifier finds prompts, and their embeddings are corrupted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from unlearnkit.data.example import Example
from unlearnkit.edits.base import Edit, Model, Rows, as_edit, as_model
from unlearnkit.edits.eco.prompt_classifier import around_of
from unlearnkit.edits.eco.regression import features, fit_classifier
from unlearnkit.edits.eco.search import METRICS, SEARCHING, Trial, search_strength, width_of
from unlearnkit.edits.output import copy_generation_config
from unlearnkit.edits.rows import Columns, read_rows
from unlearnkit.engine.generation.generate import left_pad
from unlearnkit.errors import UserError
from unlearnkit.files import refuse_occupied, write_json
from unlearnkit.functional.corruption import (
    CORRUPTIONS,
    ORDERS,
    WITHOUT_SEED,
    WITHOUT_STRENGTH,
)
from unlearnkit.models.base import BaseModel, load_tokenizer, refuse_other_tokens
from unlearnkit.models.composite.classifiers import (
    load_prompt_classifier,
    load_token_classifier,
    refuse_other_classes,
    refuse_other_labels,
)
from unlearnkit.models.composite.corrupted import CorruptedForCausalLM
from unlearnkit.models.composite.corrupted_folder import describe_corrupted
from unlearnkit.models.composite.detector import refuse_missing_sklearn
from unlearnkit.models.digests import whole_model_folder
from unlearnkit.models.load import load_config, load_model

RECORD = "eco.json"


class Eco(Edit, name="eco"):
    """Corrupt the embeddings of prompts that a classifier takes for forgotten ones (ECO).

    Experimental. The weights stay as they are. ``eco.json`` says how the classifier decides on the
    rows, and what the search of the strength measured.

    Args:
        base: The model, left as it is. It is pointed at, and must stay where it is.
        forget: File of rows whose prompts are to be found, or the id of a data set, as of a
            stream qa.
        retain: File of rows whose prompts are not, with the same columns.
        classifier: Folder or hub id of a finetuned prompt classifier (edit eco_classifier), which
            is pointed at; by default a logistic regression on mean hidden states is fitted.
        tokens: Folder or hub id of a token classifier, such as one of names; of a found prompt the
            tokens that it labels are corrupted. By default, and where it labels none, all but the
            last.
        corruption: How: rand_noise_first_n, zero_out_top_k, or another of the published code.
        strength: Standard deviation of the noise, or the shift; of a search the start.
        dims: How many dimensions of an embedding; where there is no strength, a search begins here.
        threshold: Prompts with a greater probability are corrupted.
        layers: The regression sees the last of so many hidden states, the embedding first.
        seed: Of the noise.
        search: File of rows with responses on which the strength is searched.
        metric: What is measured on them: probability, or rougeL of greedy answers.
        surrogate: What it would be of a model that never saw them, as a number.
        surrogate_model: Model that never saw them; its metric on them is the surrogate.
        surrogate_rows: File of rows that the base never saw; its metric on those is the surrogate.
        search_rate: How far a step goes for a slope of 1.
        search_steps: At most so many.
        tolerance: The search ends this near to the surrogate.
        prompt_field: Column of the prompt.
        response_field: Column of the response.
        template: Text around the prompt, as of a stream qa.

    References:
        Liu, Wang, Flanigan, Liu 2024, "Large language model unlearning via embedding-corrupted
        prompts" (ECO), arXiv 2406.07933; defaults of threshold and search are those of its code.
    """

    def __init__(
        self,
        base: Model,
        forget: Rows,
        retain: Rows,
        classifier: str | None = None,
        tokens: str | None = None,
        corruption: str = "rand_noise_first_n",
        strength: float = 1.0,
        dims: int = 1,
        threshold: float = 0.99,
        layers: int = 1,
        seed: int = 0,
        search: Rows | None = None,
        metric: str = "probability",
        surrogate: float | None = None,
        surrogate_model: Model | None = None,
        surrogate_rows: Rows | None = None,
        search_rate: float = 100.0,
        search_steps: int = 10,
        tolerance: float = 0.02,
        prompt_field: str = "prompt",
        response_field: str = "response",
        template: str = "{prompt}",
    ) -> None:
        self.base, self.rows = as_model(base), {"forget": forget, "retain": retain}
        self.columns = Columns(prompt_field, response_field, template)
        self.classifier, self.tokens = classifier, tokens
        self.noise = {"corruption": corruption, "strength": strength, "dims": dims, "seed": seed}
        self.corruption, self.strength, self.dims, self.seed = corruption, strength, dims, seed
        self.threshold, self.layers = threshold, layers
        self.search, self.metric = search, metric
        self.surrogate, self.surrogate_rows = surrogate, surrogate_rows
        self.surrogate_model = None if surrogate_model is None else as_model(surrogate_model)
        self.search_rate, self.search_steps = search_rate, search_steps
        self.tolerance = tolerance
        self.found: dict[str, Any] = {}
        """How many prompts of the rows to forget are corrupted, once it is written."""
        self.nearest: Trial | None = None
        """The trial of a search that came nearest to the surrogate."""

    @property
    def without_effect(self) -> dict[str, str]:
        """What the corruption and the classifier do not read, and all of a search without one."""
        kind = self.corruption
        unread = {"strength": WITHOUT_STRENGTH, "dims": ORDERS, "seed": WITHOUT_SEED}
        return {
            **{name: f"with --corruption {kind}" for name, of in unread.items() if kind in of},
            **({} if self.classifier is None else {"layers": "with --classifier"}),
            **({} if self.search is not None else dict.fromkeys(SEARCHING, "without --search")),
        }

    @property
    def remark(self) -> str:
        """How many prompts are found, and how near a search came."""
        told = [f"{self.found['corrupted']} of {self.found['rows']} prompts to forget are found."]
        if self.nearest is not None and self.nearest.distance > self.tolerance:
            told.append(
                f"The search ended {self.nearest.distance:.3f} from its surrogate, above "
                f"--tolerance {self.tolerance:g}."
            )
        return " ".join(told)

    def write(self, out: str | Path) -> Path:
        """Writes the model.

        Raises:
            UserError: If an option is out of range, scikit-learn is needed and not installed, or
                ``out`` exists.
        """
        self.refuse_without_effect()
        target = Path(out)
        refuse_occupied(target)
        if self.classifier is None:
            refuse_missing_sklearn()
        with as_edit():
            config = load_config(self.base)
            self._check(config.get_text_config())
        files = {**self.rows, "search": self.search, "unseen": self.surrogate_rows}
        rows = {
            kind: read_rows(self.base, each, self.columns)
            for kind, each in files.items()
            if each is not None
        }
        with as_edit():
            tokenizer = load_tokenizer(self.base)
            if self.surrogate_model is not None:
                load_config(self.surrogate_model)
                key, hint = "--surrogate_model", "Give one of the base's tokenizer."
                refuse_other_tokens(key, self.surrogate_model, tokenizer, given="--base", hint=hint)
            base = load_model(BaseModel(self.base.path, dtype="auto"))
            model = self._model(config, base, tokenizer, rows)
            searched = self._search(model, tokenizer, rows) if "search" in rows else {}
            with whole_model_folder(target) as folder:
                tokenizer.save_pretrained(folder)
                copy_generation_config(self.base, folder)
                model.config.save_pretrained(folder)
                found = {kind: _decisions(model, rows[kind]) for kind in self.rows}
                self.found = found["forget"]
                chosen = {key: getattr(model.config, key) for key in self.noise}
                record = {"threshold": self.threshold, **found, **chosen, **searched}
                write_json(folder / RECORD, record)
        return target

    def _model(
        self, config: Any, base: Any, tokenizer: Any, rows: dict[str, list[Example]]
    ) -> CorruptedForCausalLM:
        """The model in memory."""
        given: dict[str, Any] = {"threshold": self.threshold, **self.noise}
        around = around_of(self.columns.template)
        classifier, tokens = None, None
        if self.classifier is not None:
            given |= dict(zip(("before", "after"), around, strict=True))
            classifier = load_prompt_classifier(as_model(self.classifier), tokenizer, around)
        else:
            seen = {kind: features(base, each, self.layers) for kind, each in rows.items()}
            coefficients, bias = fit_classifier(seen["forget"], seen["retain"])
            given |= {"coefficients": coefficients.tolist(), "bias": bias, "layers": self.layers}
        if self.tokens is not None:
            tokens = load_token_classifier(as_model(self.tokens), tokenizer)
        described = describe_corrupted(self.base, config, self.classifier, self.tokens, **given)
        return CorruptedForCausalLM(described, base, classifier, tokens)

    def _search(
        self, model: CorruptedForCausalLM, tokenizer: Any, files: dict[str, list[Example]]
    ) -> dict[str, Any]:
        """Gives the model the strength, or the dimensions; what was measured on the way."""
        rows = files["search"]
        metric, config = METRICS[self.metric], model.config
        searched = "dims" if self.corruption in WITHOUT_STRENGTH else "strength"
        most = width_of(model)

        def given(value: float) -> float | int:
            return min(max(round(value), 1), most) if searched == "dims" else value

        def measure(value: float) -> float:
            setattr(config, searched, given(value))
            return metric(model, tokenizer, rows)

        surrogate = self.surrogate
        if self.surrogate_model is not None:
            surrogate = metric(load_model(self.surrogate_model), tokenizer, rows)
        elif self.surrogate_rows is not None:
            surrogate = metric(model.base, tokenizer, files["unseen"])
        assert surrogate is not None
        value, trials = search_strength(
            measure, surrogate, getattr(self, searched),
            rate=self.search_rate, steps=self.search_steps, tolerance=self.tolerance,
        )  # fmt: skip
        setattr(config, searched, given(value))
        self.nearest = min(trials, key=lambda each: each.distance)
        shown = [Trial(given(each.value), *each[1:])._asdict() for each in trials]
        return {
            "search": {
                "of": searched, "metric": self.metric, "surrogate": surrogate,
                "rows": len(rows), "without": metric(model.base, tokenizer, rows), "trials": shown,
            }
        }  # fmt: skip

    def _check(self, config: Any) -> None:
        size, states = config.hidden_size, config.num_hidden_layers + 1
        surrogates = (self.surrogate, self.surrogate_model, self.surrogate_rows)
        given = sum(each is not None for each in surrogates)
        wrong = {
            f"--corruption: expected one of {', '.join(CORRUPTIONS)}, found '{self.corruption}'": (
                self.corruption not in CORRUPTIONS
            ),
            f"--strength: expected above 0, found {self.strength}": not self.strength > 0,
            f"--dims: expected 1 to {size}, found {self.dims}": not 1 <= self.dims <= size,
            f"--threshold: expected 0 to below 1, found {self.threshold}": (
                not 0 <= self.threshold < 1
            ),
            f"--layers: expected 1 to {states}, found {self.layers}": (
                not 1 <= self.layers <= states
            ),
            f"--metric: expected {' or '.join(METRICS)}, found '{self.metric}'": (
                self.metric not in METRICS
            ),
            "--search: expected one of --surrogate, --surrogate_model and --surrogate_rows with "
            f"it, found {given}": self.search is not None and given != 1,
            f"--search: '{self.corruption}' has nothing to be searched": (
                self.search is not None and self.corruption in ORDERS
            ),
            f"--search_rate: expected above 0, found {self.search_rate}": not self.search_rate > 0,
            f"--search_steps: expected at least 1, found {self.search_steps}": (
                self.search_steps < 1
            ),
            f"--tolerance: expected 0 or more, found {self.tolerance}": not self.tolerance >= 0,
        }
        if found := [message for message, holds in wrong.items() if holds]:
            raise UserError("\n".join(found))
        if self.classifier is not None:
            refuse_other_classes(as_model(self.classifier))
        if self.tokens is not None:
            refuse_other_labels(as_model(self.tokens))


@torch.no_grad()
def _decisions(model: CorruptedForCausalLM, rows: Sequence[Example]) -> dict[str, Any]:
    """How many prompts are corrupted, and the lowest and highest probability."""
    prompts = [each.prompt_ids for each in rows]
    batches = [
        left_pad(prompts[first : first + 32], 0, model.device)
        for first in range(0, len(prompts), 32)
    ]
    found = torch.cat([model.probability(*each) for each in batches])
    return {
        "rows": len(found),
        "corrupted": int((found > model.config.threshold).sum()),
        "lowest": round(float(found.min()), 4),
        "highest": round(float(found.max()), 4),
    }
