"""Metrics of generated text that another model judges; which one is always named."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from unlearnkit.errors import RecipeError
from unlearnkit.metrics.base import RowMean
from unlearnkit.models.base import BaseModel

_BATCH = 32


class _Judged(RowMean, ABC):
    """A metric whose judge sees texts up to a length of its own."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.texts = self.cut = 0

    def reset(self) -> None:
        """As in torchmetrics, and for the count of texts."""
        super().reset()
        self.texts = self.cut = 0

    def notes(self) -> list[str]:
        """A sentence on the texts that the judge saw in part, if there were any."""
        if not self.cut:
            return []
        verb = "is" if self.cut == 1 else "are"
        return [
            f"{self.registered_name}: {self.cut} of {self.texts} texts {verb} cut at the "
            f"{self.longest()} tokens that {self.model} takes"
        ]

    model: str

    @abstractmethod
    def longest(self) -> int | None:
        """Tokens of the longest text that is seen whole."""

    def count(self, texts: Sequence[str], tokenizer: Any) -> None:
        """Takes note of texts that are longer."""
        longest = self.longest()
        ids = tokenizer(list(texts), truncation=False, verbose=False)["input_ids"]
        self.texts += len(texts)
        self.cut += longest is not None and sum(len(each) > longest for each in ids)


class SemanticSimilarity(_Judged, name="semantic_similarity"):
    """Cosine of the embeddings of the generated text and the true one, mean over rows.

    The embeddings are those of a sentence-transformers model (extra ``semantic``), which runs on
    the device of the metric. Figures of different models cannot be compared.

    Args:
        model: Folder or hub id of that model; there is no default.
        **kwargs: Those of `torchmetrics.Metric`.

    Raises:
        RecipeError: If sentence-transformers is not installed, or there is no such model.

    Example:
        >>> SemanticSimilarity("no/such/model")  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        unlearnkit.errors.RecipeError: semantic_similarity: ...
    """

    value_range = "-1 to 1"
    formula = (
        r"\frac{1}{S} \sum_i \frac{e(g_i) \cdot e(r_i)}{\|e(g_i)\| \|e(r_i)\|}, "
        r"\quad e \text{ the embedding}"
    )
    direction = "forget: lower; rows to keep: higher"
    good = "forget: the gold model's; rows to keep: the starting model's"
    source = "Reimers and Gurevych 2019, arXiv 1908.10084; Wei et al. 2024, arXiv 2406.18664"

    def __init__(self, model: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.model = model
        self._encoder = _encoder(model)

    def update(
        self, preds: Sequence[str], target: Sequence[str], rows: Sequence[int] | None = None
    ) -> None:
        """Takes in generated texts and the true ones."""
        generated, true = (self._embedded(texts) for texts in (preds, target))
        self.add(torch.nn.functional.cosine_similarity(generated, true), rows)

    def longest(self) -> int | None:
        """Tokens that the embedding takes; not every encoder says."""
        return getattr(self._encoder, "max_seq_length", None)

    def _embedded(self, texts: Sequence[str]) -> Tensor:
        self.count(texts, self._encoder.tokenizer)
        found: Tensor = self._encoder.encode(
            list(texts),
            batch_size=_BATCH,
            convert_to_tensor=True,
            show_progress_bar=False,
            device=str(self.device),
        )
        return found.double()


class Harmfulness(_Judged, name="harmfulness"):
    """Probability of a classifier's harmful label for the generated text, mean over rows.

    The classifier is a text classification model of transformers; texts are cut at its longest
    sequence.

    Args:
        model: Folder or hub id of the classifier; there is no default.
        label: The label of its config that means harmful.
        threshold: Count the rows whose probability is above it instead.
        **kwargs: Those of `torchmetrics.Metric`.

    Raises:
        RecipeError: If there is no such model, or it has no such label.

    Example:
        >>> Harmfulness("no/such/model", "toxic")  # doctest: +IGNORE_EXCEPTION_DETAIL
        Traceback (most recent call last):
        unlearnkit.errors.RecipeError: harmfulness: ...
    """

    value_range = "0 to 1"
    formula = r"\frac{1}{S} \sum_i q(\mathrm{harmful} | g_i), \quad q \text{ the classifier}"
    direction = "everywhere: lower"
    good = "near 0 on trained and on unseen prompts; as the classifier errs, look at the rows too"
    source = "Ji et al. 2023, arXiv 2307.04657; Yao et al. 2023, arXiv 2310.10683, sec. 4.1"

    def __init__(
        self, model: str, label: str, threshold: float | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.model, self.label, self.threshold = model, label, threshold
        self._classifier = _classifier(model)
        known = sorted(self._classifier.model.config.id2label.values())
        if label not in known:
            raise RecipeError(
                f"harmfulness: the classifier {model} has no label '{label}'",
                hint=f"Its labels: {', '.join(known)}.",
            )

    def update(self, preds: Sequence[str], rows: Sequence[int] | None = None) -> None:
        """Takes in generated texts."""
        self._classifier.model.to(self.device)
        self._classifier.device = self.device
        self.count(preds, self._classifier.tokenizer)
        found = self._classifier(
            list(preds),
            top_k=None,
            truncation=True,
            max_length=self.longest(),
            batch_size=_BATCH,
        )
        scores = [next(e["score"] for e in each if e["label"] == self.label) for each in found]
        values = torch.tensor(scores, dtype=torch.double)
        self.add(values if self.threshold is None else values > self.threshold, rows)

    def longest(self) -> int:
        """Tokens of the classifier's longest sequence; not every tokenizer knows them."""
        positions = getattr(self._classifier.model.config, "max_position_embeddings", None)
        longest: int = self._classifier.tokenizer.model_max_length
        return longest if positions is None else min(longest, positions)


def _encoder(model: str) -> Any:
    try:
        from sentence_transformers import (  # pyright: ignore[reportMissingImports]
            SentenceTransformer,
        )
    except ImportError as error:
        raise RecipeError(
            "semantic_similarity: the package sentence-transformers is not installed",
            hint="pip install 'unlearnkit[semantic]'",
        ) from error
    from transformers import PreTrainedModel

    from unlearnkit.models.whole import load_whole

    given: dict[str, Any] = {"use_safetensors": True}
    try:
        encoder = SentenceTransformer(
            model, device="cpu", trust_remote_code=False, model_kwargs=given
        )
        # The library fills weights that the files lack at random, and does not say so.
        for part in encoder.modules():
            if isinstance(part, PreTrainedModel):
                folder = BaseModel(str(part.name_or_path))
                # No sentence embedding reads BERT's pooler, which many files lack.
                load_whole(type(part), folder, unread=("pooler.",), device_map="meta", **given)
                break
    except (OSError, ValueError, RecipeError) as error:
        raise _no_model("semantic_similarity", model, error) from error
    return encoder


def _classifier(model: str) -> Any:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

    from unlearnkit.models.whole import load_whole

    kind = AutoModelForSequenceClassification
    try:
        loaded = load_whole(kind, BaseModel(model), use_safetensors=True, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
        return pipeline("text-classification", model=loaded, tokenizer=tokenizer, device="cpu")
    except (OSError, ValueError, RecipeError) as error:
        raise _no_model("harmfulness", model, error) from error


def _no_model(metric: str, model: str, error: Exception) -> RecipeError:
    lines = str(error).removeprefix("model.base: ").strip().splitlines()
    first_line = (lines or [type(error).__name__])[0]
    return RecipeError(
        f"{metric}: '{model}' is no model that can be loaded ({first_line})",
        hint="Give a folder with safetensors, or a hub id that is reachable or cached.",
    )
